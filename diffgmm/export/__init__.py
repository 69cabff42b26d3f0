"""Models for other runtimes, each file checked against PyTorch before it gets its name."""

from diffgmm.export.errors import ExportError
from diffgmm.export.formats import FORMATS, TOLERANCE, Deviation, Exported, export

__all__ = ["FORMATS", "TOLERANCE", "Deviation", "ExportError", "Exported", "export"]
