"""Reports: results and training runs as one HTML page to look at and listen to, or as Markdown for a repository.

:mod:`~diffgmm.report.collect` reads, :mod:`~diffgmm.report.tables` and :mod:`~diffgmm.report.groups` reckon,
:mod:`~diffgmm.report.plots` and :mod:`~diffgmm.report.training` draw, :mod:`~diffgmm.report.examples` lets listen,
:mod:`~diffgmm.report.html` and :mod:`~diffgmm.report.markdown` put it together.
"""

from diffgmm.report.collect import ReportError
from diffgmm.report.html import render
from diffgmm.report.markdown import render_markdown

__all__ = ["ReportError", "render", "render_markdown"]
