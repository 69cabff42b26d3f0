"""OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffgmm.diffusion.pretrained import ModelError
from diffgmm.utils.cores import thread_count


class OpenVino:
    """A light graph in OpenVINO on the CPU, in float32; see :data:`diffgmm.inference.backends.Rows`.

    Args:
        graph: the .onnx file.
        threads: ``None`` for what ``OMP_NUM_THREADS`` says, or all cores.
    """

    def __init__(self, graph: Path, threads: int | None = None) -> None:
        import openvino

        core = openvino.Core()
        try:
            model = core.read_model(str(graph))
        except RuntimeError as error:
            problem = " ".join(str(error).split())[:160]
            raise ModelError(f"{graph}: openvino can't use this graph: {problem}") from error
        info = model.get_rt_info()
        facts = dict(info).get("framework", {})
        self.weights_sha256 = facts["weights_sha256"].value if "weights_sha256" in facts else None
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",  # processors with bfloat16 would use that by themselves
                "INFERENCE_NUM_THREADS": threads or thread_count(),
                "PERFORMANCE_HINT": "LATENCY",
            },
        )

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        request = self._compiled.create_infer_request()  # one a call: files may be denoised side by side
        clean = request.infer([np.ascontiguousarray(noisy[:, None], np.float32)])[0]
        return np.array(clean[:, 0])
