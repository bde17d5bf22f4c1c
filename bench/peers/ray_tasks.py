"""Ray: remote functions on this machine, a CPU each."""

import os

import serving


def main():
    ray = serving.need("ray", "ray")
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    tasks = {
        task: ray.remote(task)
        for task in (serving.nothing, serving.spin, serving.echo, serving.following)
    }

    def run_map(task, arguments):
        return ray.get([tasks[task].remote(it) for it in arguments])

    def run_one(task, argument):
        return ray.get(tasks[task].remote(argument))

    def run_flow(task, numbers):
        stage = list(numbers)
        for _ in range(serving.STAGES):
            stage = [tasks[task].remote(it) for it in stage]
        return ray.get(stage)

    try:
        serving.serve(f"ray {ray.__version__}", run_map, run_one, run_flow)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
