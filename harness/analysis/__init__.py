"""Looking inside: what blocks do to their streams, measured on one lab, as the arrays of harness.analysis.profile."""
