"""What the hub speaks, described for programs and people, from the code that speaks it.

================  ===============================================================================
`operations`      the nouns: an operation, its parameters, bodies and answers
`routes`          every route over HTTP, in tables of operations, one file for each matter
`shapes`          JSON Schemas of events, bodies and answers
`chunks`          those of what other people's clients are told piece by piece
`codes`           every error code that a client can see, with its status
`openapi`         all of it as one OpenAPI 3.1 document
`frames`          every frame that the hub sends over the WebSocket
`asyncapi`        the WebSocket as one AsyncAPI 3 document
`html` `page`     both documents, readable
`files`           the documents as text: made by the build of the package, or when asked for
================  ===============================================================================

The build of the package puts ``openapi.json`` and ``asyncapi.json`` beside this file; ``make
docs`` writes them into ``dist/``. Tests hold them to the code: to the router of a running hub,
to what it really answers, and to the specifications' own schemas.
"""
