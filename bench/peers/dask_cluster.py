"""Dask: a LocalCluster of a process a core, each with one thread."""

import os

import serving


def main():
    distributed = serving.need("distributed", "dask[distributed]")
    cluster = distributed.LocalCluster(
        n_workers=os.cpu_count(), threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:

        def run_map(task, arguments):
            return client.gather(client.map(task, list(arguments), pure=False))

        def run_one(task, argument):
            return client.submit(task, argument, pure=False).result()

        def run_flow(task, numbers):
            stage = list(numbers)
            for _ in range(serving.STAGES):
                stage = client.map(task, stage, pure=False)
            return client.gather(stage)

        serving.serve(f"distributed {distributed.__version__}", run_map, run_one, run_flow)


if __name__ == "__main__":
    main()
