"""Ablation of a prior: rows, method trees and findings."""
