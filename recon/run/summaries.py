"""Values of TensorBoard events, made without a writer class: scalars, encoded pictures and escaped text."""

from __future__ import annotations

import html
import re
from typing import Any


def plain(text: str) -> str:
    """Return one line of text that neither Markdown nor HTML takes for markup.

    >>> plain("<b> *x*")
    '&lt;b&gt; \\\\*x\\\\*'
    """
    return re.sub(r"([\\`*_{}\[\]()#+.!|~-])", r"\\\1", html.escape(" ".join(text.split())))


def scalar(tag: str, value: float) -> Any:
    """Return one number under a tag."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, simple_value=value)


def picture(tag: str, encoded: bytes, *, kind: str) -> Any:
    """Return an encoded grey picture under a tag; `kind` is "png" or "gif", which TensorBoard plays."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = _size(encoded, kind)
    image = Summary.Image(height=height, width=width, colorspace=1, encoded_image_string=encoded)
    return Summary.Value(tag=tag, image=image)


def _size(encoded: bytes, kind: str) -> tuple[int, int]:
    if kind == "gif":
        return int.from_bytes(encoded[6:8], "little"), int.from_bytes(encoded[8:10], "little")
    return int.from_bytes(encoded[16:20], "big"), int.from_bytes(encoded[20:24], "big")


def text(tag: str, content: str) -> Any:
    """Return Markdown under a tag; escape what users wrote with `plain`."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    plugin = SummaryMetadata.PluginData(plugin_name="text")
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[content.encode()], tensor_shape=shape)
    return Summary.Value(tag=f"{tag}/text_summary", metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
