"""The ``diffgmm`` command: one verb a module, each imported only when it is used."""
