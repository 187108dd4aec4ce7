"""What is said of stimuli, and how well it predicts single neurons."""
