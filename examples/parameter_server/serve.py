"""A parameter server in two shards: eight workers, and nobody waits for the slowest by much."""

from actorfl import SSP, Clocks, Gradients, ParameterServer, Processes, Run, Star

if __name__ == "__main__":
    run = Run(
        "digits",
        Star(8, shards=2),
        ParameterServer(lr=0.1, momentum=0.9),
        local=Gradients(batch=32),
        sync=SSP(3),
        until=Clocks(500),
        name="parameter-server",
    )
    result = run.start(on=Processes(4))
    print(f"accuracy {result.accuracy} after {result.rounds} rounds")
