"""The ``diffgmm`` command: one verb a module with ``run(args) -> int``, each imported only when it is used."""
