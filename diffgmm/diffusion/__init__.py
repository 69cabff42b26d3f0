"""The method: mixture, process, representation, head and samplers, and the model that they make.

Read :mod:`~diffgmm.diffusion.mixture`, :mod:`~diffgmm.diffusion.process`, :mod:`~diffgmm.diffusion.representation`,
:mod:`~diffgmm.diffusion.head`, :mod:`~diffgmm.diffusion.samplers` and :mod:`~diffgmm.diffusion.model` in this order.
"""
