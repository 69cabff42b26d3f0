"""Models for other runtimes, each file checked against PyTorch before it gets its name."""

from diffgmm.inference.export.errors import ExportError
from diffgmm.inference.export.formats import FORMATS, TOLERANCE, Deviation, Exported, export

__all__ = ["FORMATS", "TOLERANCE", "Deviation", "ExportError", "Exported", "export"]
