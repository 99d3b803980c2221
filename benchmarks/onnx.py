"""One sample of DCGAN at 32 pixels: the exported ONNX graph in ONNX Runtime against G called in inference mode."""

from __future__ import annotations

import tempfile

import torch

from mulligan.core.errors import UserError
from mulligan.export.deliver import deliver

from .common import compared, finish, interleaved, parser, stop, timed
from .sampling import experiment

BAR, AIM = 2.2, 3.5
CALLS = 50


def main() -> None:
    options = parser(__doc__)
    options.set_defaults(threads=1)
    options.add_argument("--slices", type=int, default=20)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        run = experiment(folder)
        try:
            print(deliver(run).note)
        except UserError as error:
            stop(str(error))
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = given.threads
        session = onnxruntime.InferenceSession(f"{folder}/model.onnx", settings, providers=["CPUExecutionProvider"])
        G, z = run.sampler.G, run.latents(1)
        inputs = {"z": z.numpy()}

        @torch.inference_mode()
        def eager() -> torch.Tensor:
            return G(z)

        works = {"onnx": timed(lambda: session.run(None, inputs), CALLS), "eager": timed(eager, CALLS)}
        ratios = compared("DCGAN-32, one at a time", interleaved(works, given.slices), "onnx", "eager")
    facts = {**ratios, "bar": BAR, "aim": AIM, "onnxruntime": onnxruntime.__version__}
    finish("onnx", ratios["ratio_of_bests"] >= BAR, **facts)


if __name__ == "__main__":
    main()
