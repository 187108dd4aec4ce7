"""Intervals of reconstructed pixels: quantile heads on features of the estimate, made valid by risk control over clips.

The unit is the clip: pixels of one clip are never treated as independent. What is guaranteed is stated in `risk`.
"""
