"""Computes on many processes or machines by Dask distributed, bit-identical to one process.

1. `address` reads where the cluster is; `local` starts one of this machine's cores.
2. `source` opens the data on a worker: the client's own arrays, mapped, or files that it reads itself.
3. `worker` runs on the workers: it builds what tasks need once, keeps it, and refuses what is not the client's version
   or data.
4. `pool` runs on the client: tasks go to workers that fit, what a dead worker held goes to another, and results come
   back in the order of the tasks whatever the order in which they end.
5. `scoring` cuts `score` into tasks: candidates and chunks of dates.

Mining's part is `fama_fast.mining.measure.cluster_scorer`: nothing here knows of it. What a task computes does not
depend on which worker runs it, on its company or on the number of threads, so the bits are those of one process.
"""
