"""The HTTP side: the same rooms, rights, limits and errors as over the socket, for callers that make one request.

`routes` is the table of what there is; `site` makes the aiohttp application of it; `answers` turns the engine's frames
and errors into responses.
"""
