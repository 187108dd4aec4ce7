"""The ablation of a prior: its rows, what they are made from, and what they say."""
