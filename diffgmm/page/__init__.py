"""The page of ``diffgmm demo``: recordings in a browser, before and after."""
