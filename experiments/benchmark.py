"""A training step of `mlp3` beside PyTorch's: each in its own warm process, run in turn.

    python -m funcnn.experiments.benchmark

Both do the same work on the same number of threads: gather a minibatch of 128, forward, backward,
SGD with momentum 0.9 and weight decay 1e-4. Rounds alternate, so that a busy neighbour slows both.
"""

import statistics
import subprocess
import sys

ROUNDS, STEPS, THREADS = 15, 200, 2
_PEERS = ("numpy", "torch")


def main() -> None:
    """Print the median milliseconds of each peer, and the median ratio with its quartiles."""
    workers = {
        peer: subprocess.Popen(
            [sys.executable, "-m", "funcnn.experiments.benchmark_worker", peer, str(THREADS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for peer in _PEERS
    }

    def measure(peer: str) -> float:
        worker = workers[peer]
        assert worker.stdin is not None
        assert worker.stdout is not None
        print(STEPS, file=worker.stdin, flush=True)
        answer = worker.stdout.readline()
        if not answer:
            raise SystemExit(f"the {peer} worker ended; is {peer} installed?")
        return float(answer)

    for peer in _PEERS:  # warm
        measure(peer)
    rounds = [{peer: measure(peer) for peer in _PEERS} for _ in range(ROUNDS)]
    for worker in workers.values():
        worker.communicate()
    for peer in _PEERS:
        print(f"{peer:6} {statistics.median(r[peer] for r in rounds) * 1e3:.2f} ms a step")
    low, middle, high = statistics.quantiles([r["torch"] / r["numpy"] for r in rounds], n=4)
    print(f"funcnn is {middle:.2f} times as fast as torch (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
