"""Pure rules: no aiohttp, no clock, no files. A test only has to call them."""
