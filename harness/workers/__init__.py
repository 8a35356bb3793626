"""Workers: processes that measure the cases of one piece of work into a shared run folder.

A work file (:mod:`harness.workers.work`) names the cases and how they are measured. A worker
(:mod:`harness.workers.worker`) measures them and writes one file for each record. What starts the workers is a runner:
processes on this machine, actors of a Ray cluster, or jobs of Slurm. It alone writes the journal and the ranking.
"""
