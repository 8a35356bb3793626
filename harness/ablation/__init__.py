"""What is asked: plans, strategies, ranges, windows of steps, cases and their ids. Standard library only."""
