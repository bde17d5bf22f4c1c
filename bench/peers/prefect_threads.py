"""Prefect 3: a flow run whose tasks go to the thread task runner, at a server of its own."""

import os
import tempfile

import serving


def main():
    folder = tempfile.TemporaryDirectory()
    # Its database and its server are for this process alone, and it tells nobody.
    os.environ.setdefault("PREFECT_HOME", folder.name)
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    prefect = serving.need("prefect", "prefect>=3")
    from prefect.task_runners import ThreadPoolTaskRunner

    tasks = {
        task: prefect.task(task)
        for task in (serving.nothing, serving.spin, serving.echo, serving.following)
    }
    runner = ThreadPoolTaskRunner(max_workers=os.cpu_count())

    @prefect.flow(task_runner=runner)
    def bench():
        # One flow run for everything: making it is not what is measured.
        def run_map(task, arguments):
            return [future.result() for future in tasks[task].map(list(arguments))]

        def run_one(task, argument):
            return tasks[task].submit(argument).result()

        def run_flow(task, numbers):
            stage = list(numbers)
            for _ in range(serving.STAGES):
                stage = tasks[task].map(stage)
            return [future.result() for future in stage]

        serving.serve(f"prefect {prefect.__version__}", run_map, run_one, run_flow)

    bench()


if __name__ == "__main__":
    main()
