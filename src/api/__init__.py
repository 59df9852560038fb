"""The REST edge: routes, wire schemas, problem+json, OpenAPI."""
