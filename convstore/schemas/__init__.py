"""The shapes of the outside world: marshmallow schemas that check what clients send, and describe it in OpenAPI.

They check and name what is wrong; what goes back to clients is the stored JSON, never a dump of a schema.
"""
