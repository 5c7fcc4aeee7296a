"""XML in and out, as far as S3 uses it.

Reading is defused: no document type, so no entities; bounded depth, number of elements and size. Namespaces are
dropped, because clients
send S3's, an older one, or none. Writing is plain text with escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn
from xml.parsers import expat

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
MAX_DEPTH = 24
MAX_ELEMENTS = 120_000
"""10,000 parts with ten elements each, and some."""
MAX_BYTES = 8 << 20


class XmlError(ValueError):
    """Not well-formed, not of the expected root, or beyond a bound. The text says which."""


class Element:
    """A node: its local name, attributes by local name, children, and the text directly in it."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""

    def __iter__(self) -> Iterator[Element]:
        return iter(self.children)

    def child(self, name: str) -> Element | None:
        """The first child of that name."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def all(self, name: str) -> list[Element]:
        return [child for child in self.children if child.name == name]

    def value(self, name: str, default: str | None = None) -> str | None:
        """The text of the first child of that name, without surrounding space."""
        child = self.child(name)
        return default if child is None else child.text.strip()

    def path(self, *names: str) -> Element | None:
        """The node below along the names."""
        node: Element | None = self
        for name in names:
            node = node.child(name) if node is not None else None
        return node


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def parse(body: bytes, *roots: str, max_bytes: int = MAX_BYTES) -> Element:
    """The tree under a root of one of the given names. Raises XmlError."""
    if len(body) > max_bytes:
        raise XmlError(f"more than {max_bytes} bytes of XML")
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    top: list[Element] = []
    stack: list[Element] = []
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > MAX_ELEMENTS or len(stack) >= MAX_DEPTH:
            raise XmlError("too many or too deeply nested elements")
        node = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        (stack[-1].children if stack else top).append(node)
        stack.append(node)

    def end(name: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: Any) -> NoReturn:
        raise XmlError("document types and entities are not accepted")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, UnicodeDecodeError, LookupError) as error:
        raise XmlError(f"not well-formed: {error}") from error
    if not top or (roots and top[0].name not in roots):
        raise XmlError(f"expected {' or '.join(roots)}")
    return top[0]


_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("\r"): "&#13;"}
_ESCAPES |= {code: f"&#x{code:x};" for code in range(32) if code not in (9, 10, 13)}
_ESCAPES |= dict.fromkeys((*range(55296, 57344), 65534, 65535), "�")
_SPECIAL = re.compile("[" + "".join(re.escape(chr(code)) for code in _ESCAPES) + "]")


def escape(text: str) -> str:
    """Text for element content. Control characters become references, as S3 writes them."""
    return text if _SPECIAL.search(text) is None else text.translate(_ESCAPES)


def leaf(name: str, value: object) -> str:
    """`<Name>value</Name>`; booleans in lower case."""
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def optional(name: str, value: object | None) -> str:
    """The leaf, or nothing for None."""
    return "" if value is None else leaf(name, value)


def document(root: str, inner: str) -> bytes:
    """A whole answer in S3's namespace."""
    return f'{DECLARATION}<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()


def write(node: Element) -> str:
    """The text of a parsed tree again, for configurations that are kept as they came."""
    attributes = "".join(
        f' xmlns:xsi="{SCHEMA_INSTANCE}" xsi:type="{escape(value)}"' if key == "type" else f' {key}="{escape(value)}"'
        for key, value in node.attributes.items()
    )
    inner = "".join(write(child) for child in node.children) if node.children else escape(node.text)
    return f"<{node.name}{attributes}>{inner}</{node.name}>"
