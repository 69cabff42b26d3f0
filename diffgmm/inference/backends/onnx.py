"""onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffgmm.utils.cores import thread_count


class OnnxRuntime:
    """A light graph in onnxruntime on the CPU; see :data:`diffgmm.inference.backends.Rows`.

    Args:
        graph: the .onnx file.
        threads: ``None`` for what ``OMP_NUM_THREADS`` says, or all cores.
    """

    def __init__(self, graph: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or thread_count()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.weights_sha256 = self._session.get_modelmeta().custom_metadata_map.get("weights_sha256")

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        (clean,) = self._session.run(["clean"], {"noisy": np.ascontiguousarray(noisy[:, None], np.float32)})
        return np.asarray(clean[:, 0])
