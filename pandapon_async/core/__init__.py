"""Pure rules: no aiohttp, no clock, no files. Everything here can be tested by calling it."""
