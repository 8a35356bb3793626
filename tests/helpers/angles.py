"""Files of angular distances."""

from harness.analysis.lokr.angle_records import Writer


def write(path, records):
    """Append records to a file."""
    with Writer(path) as writer:
        for record in records:
            writer.add(record)
