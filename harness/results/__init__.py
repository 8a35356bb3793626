"""What was measured, as plain data: fingerprint, records, journal, statistics, ranking. No torch."""
