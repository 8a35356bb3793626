"""Files of angular distances."""

from harness.analysis.lokr.angle_records import Writer


def write(path, records):
    """Append records to a file; those on diffusers' scale as other tools would write them."""
    if any(record.timestep > 1 for record in records):
        with path.open("a", encoding="utf-8") as file:
            file.writelines(record.line() + "\n" for record in records)
        return
    with Writer(path) as writer:
        for record in records:
            writer.add(record)
