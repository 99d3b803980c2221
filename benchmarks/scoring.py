"""Memory of an evaluation at its peak, for more and more samples: it must not grow with their number. Linux.

    python -m benchmarks.scoring [--counts 10000 20000 40000]

The whole command as a library: a generator, an extractor of 2,048 features (random projections, which take as much
memory as Inception and none of its time), fid, kid, pr, dc and the floor; each count in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .common import finish, parser, stop

BAR = 64
"""MB more at the last count than at the first: 30,000 more samples have 235 MB of features on each side."""
INSIDE = """
import json, resource, sys, tempfile, time
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))
count = int(sys.argv[1])
from mulligan.assess.panel import Panel
from mulligan.assess.supply import Generated
from mulligan.assess.team import Alone
from mulligan.data import Source
from mulligan.metrics.shelf import chosen
from mulligan.parts.samplers import Sampler

class Eyes:
    name, sha256, preprocessing, official = "projections", "0" * 64, "x / 255", False
    weights = torch.randn(192, 2048, generator=torch.Generator().manual_seed(0)) / 14
    def __call__(self, x):
        return x.flatten(1).float() / 255 @ self.weights, None

G = torch.nn.Sequential(torch.nn.Linear(16, 192), torch.nn.Tanh(), torch.nn.Unflatten(1, (3, 8, 8)))
x = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
start = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    panel = Panel(chosen(["fid", "kid", "pr", "dc"]), Eyes(), Source("noise", {"x": x}, (), f"noise {count}"), None,
                  Alone(torch.device("cpu")), cache=Path(folder), progress=False).prepared()
    fake = panel.see(Generated(Sampler(G, 16), count), "")
    values = panel.values(panel.case(fake))
    panel.floor()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"megabytes": peak, "seconds": time.perf_counter() - start, "fd": next(iter(values.values()))}))
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--counts", type=int, nargs="+", default=[10_000, 20_000, 40_000])
    given = options.parse_args()
    if not Path("/proc/self/status").is_file():
        stop("needs /proc, which only Linux has")
    rows = []
    print(f"{'samples, generated and real':<30}{'peak, MB':>12}{'features, MB':>14}{'seconds':>10}")
    for count in given.counts:
        done = subprocess.run(
            [sys.executable, "-c", INSIDE, str(count), str(given.threads)], capture_output=True, text=True
        )
        if done.returncode:
            stop(done.stderr)
        row = json.loads(done.stdout)
        rows.append(row["megabytes"])
        size = count * 2 * 2048 * 4 / 2**20
        print(f"{count:<30,}{row['megabytes']:>12.0f}{size:>14.0f}{row['seconds']:>10.0f}", flush=True)
    grown = rows[-1] - rows[0]
    print(f"from {given.counts[0]:,} to {given.counts[-1]:,} samples: {grown:+.0f} MB")
    finish("scoring", grown <= BAR, megabytes=[round(row) for row in rows], grown=round(grown), bar=BAR)


if __name__ == "__main__":
    main()
