"""Facts about images as values: workers report them, pages and the API show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict


class Config(TypedDict):
    """The run configuration of an image, as it is stored in its row."""

    environment: dict[str, str]
    working_directory: str
    user: str
    entrypoint: list[str]
    command: list[str]
    labels: dict[str, str]
    exposed_ports: list[str]
    volumes: list[str]
    stop_signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """One layer. Sizes in bytes."""

    diff_id: str
    digest: str
    size: int
    unpacked: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An app that keeps a layer."""

    app: str
    team: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLayer:
    """A layer as one team may see it: its own apps by name, others only as a number."""

    facts: LayerFacts
    apps: tuple[str, ...]  # the team's other apps that have the layer
    others: int  # apps of other teams
    images: int  # kept images that have the layer, including this image

    @property
    def name(self) -> str:
        return self.facts.created_by or "Layer without a description"

    @property
    def is_shared(self) -> bool:
        """Return True if another app or image has the layer too."""
        return bool(self.apps or self.others)

    @property
    def warmth(self) -> int:
        """Return 0 to 3, by the number of apps that have the layer. It selects the colour."""
        holders = len(self.apps) + self.others
        return 0 if holders == 0 else 1 if holders == 1 else 2 if holders < 5 else 3

    @property
    def height(self) -> int:
        return height_of(self.facts.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """An image with its layers, topmost first."""

    digest: str
    config: Config
    layers: tuple[SharedLayer, ...]

    @property
    def size(self) -> int:
        return sum(layer.facts.size for layer in self.layers)

    @property
    def unpacked(self) -> int:
        return sum(layer.facts.unpacked for layer in self.layers)

    @property
    def own(self) -> int:
        """Return the bytes of layers that no other kept image of any app has."""
        return sum(layer.facts.size for layer in self.layers if layer.images < 2)

    @property
    def shared(self) -> int:
        return self.size - self.own


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A layer in the picture of all apps, with the layers above it and its apps. `more` layers may
    be drawn as one block."""

    name: str
    size: int
    apps: tuple[str, ...]
    others: int
    more: int = 0
    above: tuple[Block, ...] = ()
    tops: tuple[str, ...] = ()  # apps for which this is the topmost layer

    @property
    def height(self) -> int:
        return height_of(self.size)

    @property
    def warmth(self) -> int:
        holders = len(self.apps) + self.others
        return 0 if holders < 2 else 1 if holders == 2 else 2 if holders < 6 else 3

    @property
    def width(self) -> int:
        """Return the width in columns."""
        return min(max(len(self.apps), 1), 12)


# bytes; steps instead of a scale, because the sizes of layers differ by five orders of magnitude
_STEPS = (64 * 2**10, 2**20, 8 * 2**20, 32 * 2**20, 96 * 2**20)


def height_of(size: int) -> int:
    """Return a height from 1 to 6."""
    return 1 + sum(size >= step for step in _STEPS)


@dataclass(slots=True)
class _Node:
    layer: SharedLayer
    apps: list[str] = field(default_factory=list)
    above: dict[str, _Node] = field(default_factory=dict)
    tops: list[str] = field(default_factory=list)


LONGEST_CHAIN = 6


def picture(images: Mapping[str, ImageView]) -> tuple[Block, ...]:
    """Convert the live images of apps to one tree per bottom layer. Apps that share a layer and all
    layers below share a block."""
    roots: dict[str, _Node] = {}
    for app, image in images.items():
        level, node = roots, None
        for layer in reversed(image.layers):
            node = level.setdefault(layer.facts.diff_id, _Node(layer))
            node.apps.append(app)
            level = node.above
        if node is not None:
            node.tops.append(app)
    return tuple(_block(node) for node in sorted(roots.values(), key=lambda root: -len(root.apps)))


def _block(node: _Node) -> Block:
    chain = [node]
    while len(chain[-1].above) == 1 and not chain[-1].tops:
        chain.append(next(iter(chain[-1].above.values())))
    end = chain[-1]
    above = tuple(
        _block(child) for child in sorted(end.above.values(), key=lambda child: -len(child.apps))
    )
    shown = chain
    folded: list[_Node] = []
    if len(chain) > LONGEST_CHAIN:
        large = sorted(chain, key=lambda link: -link.layer.facts.size)[: LONGEST_CHAIN - 1]
        shown = [link for link in chain if any(link is kept for kept in large)]
        folded = [link for link in chain if not any(link is kept for kept in large)]
    blocks = [_single(link) for link in shown]
    if folded:
        size = sum(link.layer.facts.size for link in folded)
        name = f"{len(folded)} smaller layers"
        blocks.append(
            Block(
                name=name,
                size=size,
                apps=tuple(end.apps),
                others=end.layer.others,
                more=len(folded),
            )
        )
    top, tops = blocks[-1], tuple(end.tops)
    made = Block(
        name=top.name,
        size=top.size,
        apps=top.apps,
        others=top.others,
        more=top.more,
        above=above,
        tops=tops,
    )
    for below in reversed(blocks[:-1]):
        made = Block(
            name=below.name, size=below.size, apps=below.apps, others=below.others, above=(made,)
        )
    return made


def _single(node: _Node) -> Block:
    return Block(
        name=node.layer.name,
        size=node.layer.facts.size,
        apps=tuple(node.apps),
        others=node.layer.others,
    )
