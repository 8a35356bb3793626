"""Commands of ``python -m harness``, one module each; the tool's face beside pytest."""
