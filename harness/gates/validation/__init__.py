"""What the gates would catch and what they must not: noise floors, injected faults, clean runs."""
