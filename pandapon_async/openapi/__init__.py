"""Descriptions of the API for other tools, generated from the declarations.

`document` is the OpenAPI document, `coverage` the table in the docs; `response_schema` says what an
answer must look like, `example_data` makes one up, `example_arguments` makes up what a call wants.
Stands on the declarations, the models and core alone: the sandbox may use it.
"""

from pandapon_async.openapi.answers import example_answer, example_data
from pandapon_async.openapi.coverage import coverage
from pandapon_async.openapi.document import document
from pandapon_async.openapi.examples import example_arguments, wire_example
from pandapon_async.openapi.schemas import response_schema

__all__ = [
    "coverage",
    "document",
    "example_answer",
    "example_arguments",
    "example_data",
    "response_schema",
    "wire_example",
]
