"""Describe the hub's interfaces for people and programs, from the code that implements them.

=================  ==================================================================
`operations`       the data model: operations, their parameters, bodies and responses
`routes`           every HTTP route, one module for each group
`json_schema`      building blocks for JSON Schemas
`requests`         JSON Schemas of request bodies, and examples
`shapes`           JSON Schemas of events and response bodies
`chunks`           JSON Schemas of the streams for other clients
`codes`            every error code that a client can see, with its status
`openapi`          the HTTP routes as an OpenAPI 3.1 document
`frames`           every frame that the hub sends over the WebSocket
`asyncapi`         the WebSocket as an AsyncAPI 3 document
`html` `page`      both documents as a page
`files`            the documents as files
=================  ==================================================================

The package build puts ``openapi.json`` and ``asyncapi.json`` into this folder; ``make docs``
writes them into ``dist/``. Tests compare them with the router of a running hub, with its real
responses, and with the schemas of the two specifications.
"""
