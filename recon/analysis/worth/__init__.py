"""The worth of a sentence: scores with and without text at several numbers of neurons, and text in units of neurons."""
