"""onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffgmm.diffusion.pretrained import ModelError
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
        options.add_session_config_entry("session.load_model_format", "ONNX")
        self._graph = graph
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no base of their own
            raise _unusable(graph, error) from error
        facts = self._session.get_modelmeta().custom_metadata_map
        self.weights_sha256, self.sample_rate = facts.get("weights_sha256"), facts.get("sample_rate")

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        try:
            (clean,) = self._session.run(
                ["clean"], {"noisy": np.ascontiguousarray(noisy[:, None], np.float32)}
            )
        except Exception as error:  # its exceptions have no base of their own
            raise _unusable(self._graph, error) from error
        if clean.shape != (len(noisy), 1, noisy.shape[1]):
            raise ModelError(
                f"{self._graph}: gives {list(clean.shape)} for {list(noisy.shape)}; delete it to use PyTorch"
            )
        return np.asarray(clean[:, 0])


def _unusable(graph: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{graph}: onnxruntime can't use this graph: {' '.join(str(error).split())[:160]}; delete it to use PyTorch"
    )
