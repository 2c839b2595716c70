"""Nested dissection of a rectangular grid: index tables for a batched multifrontal LU.

The rectangle is cut by separators one node wide down to small leaves. A *front* holds the nodes it
eliminates and the ring of later nodes around its part of the grid. Fronts of one depth and of
similar size form a *group*, padded to one size, so that a whole group of a whole batch is one dense
operation. All tables depend on (ny, nx, periodic) only and are cached. On a periodic grid the first
separator is one column of longitude; what is left is a rectangle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_spde.spde.stencil import OFFSETS

LEAF_SIDE = 6
"""Side of the largest block that is not cut again; 5 to 8 differ by less than 10 % in time."""
PADDING_WASTE = 1.25
"""Fronts share a group as long as padding costs at most this factor in operations."""

Index = NDArray[np.int64]


@dataclass
class Front:
    """Nodes eliminated together and the ring of later nodes they touch (flat indices)."""

    depth: int
    parent: int
    eliminated: Index
    ring: Index
    group: int = -1
    slot: int = -1

    def local(self, width: int) -> tuple[Index, Index]:
        """Return the nodes of the front and their positions when `width` are eliminated."""
        n = self.eliminated.size
        nodes = np.concatenate([self.eliminated, self.ring])
        return nodes, np.concatenate([np.arange(n), width + np.arange(self.ring.size)])


@dataclass
class Group:
    """Fronts of one depth, padded to `n_eliminated` + `n_ring` nodes; positions in flat buffers.

    Node tables hold the number of nodes of the grid where a front has fewer than the padded size;
    matrix tables hold the length of the buffer they point into, where a zero is kept.

    Attributes:
        depth: level in the tree, 0 at the root.
        count: number of fronts.
        n_eliminated: padded number of nodes eliminated by one front.
        n_ring: padded number of nodes in the ring.
        eliminated: node table (count, n_eliminated).
        ring: node table (count, n_ring).
        entries: positions in the front matrices of the entries of the stencil.
        sources: positions of the same entries in the flattened stencil (9, ny, nx).
        padding: positions of the unit diagonal of padded nodes.
        children: for each child, positions in the Schur complements of the next level.
        parent: positions of the ring-ring block in the inverses of the level above.
    """

    depth: int
    count: int
    n_eliminated: int
    n_ring: int
    eliminated: Tensor
    ring: Tensor
    entries: Tensor
    sources: Tensor
    padding: Tensor
    children: list[Tensor]
    parent: Tensor

    @property
    def size(self) -> int:
        """Padded number of nodes of one front."""
        return self.n_eliminated + self.n_ring

    def to(self, device: torch.device) -> Group:
        """Return the group with its tables on a device."""
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        children = [child.to(device) for child in self.children]
        return Group(**{**vars(self), **moved, "children": children})


@dataclass
class Dissection:
    """Groups in the order of elimination (deepest first) for a grid of ny x nx nodes."""

    ny: int
    nx: int
    periodic: bool
    groups: list[Group]

    @property
    def kept_entries(self) -> int:
        """Numbers kept per matrix by a factorisation that can solve."""
        return sum(g.count * g.n_eliminated * (g.n_eliminated + 2 * g.n_ring) for g in self.groups)


@lru_cache(maxsize=32)
def dissection(ny: int, nx: int, periodic: bool, device: torch.device) -> Dissection:
    """Return the cached tables of a grid on a device.

    Raises:
        ValueError: the grid is too small for the nine offsets to be different nodes.
    """
    if periodic and nx < 3:
        raise ValueError(f"a periodic grid needs at least 3 columns, this one has {nx}")
    if device.type != "cpu":
        plan = dissection(ny, nx, periodic, torch.device("cpu"))
        return Dissection(ny, nx, periodic, [g.to(device) for g in plan.groups])
    fronts = _cut(ny, nx, periodic)
    members = _group(fronts)
    return Dissection(ny, nx, periodic, _tables(fronts, members, ny, nx, periodic))


def _rectangle(rows: tuple[int, int], columns: tuple[int, int], nx: int) -> Index:
    return (np.arange(*rows)[:, None] * nx + np.arange(*columns)[None, :] % nx).ravel()


def _ring(rows: tuple[int, int], columns: tuple[int, int], shape: tuple[int, int, bool]) -> Index:
    """Return the nodes around a rectangle, inside the grid or across its periodic seam."""
    ny, nx, periodic = shape
    j = np.arange(max(rows[0] - 1, 0), min(rows[1] + 1, ny))
    i = np.arange(columns[0] - 1, columns[1] + 1)
    i = np.unique(i % nx) if periodic else i[(i >= 0) & (i < nx)]
    nodes = (j[:, None] * nx + i[None, :]).ravel()
    return np.setdiff1d(nodes, _rectangle(rows, columns, nx), assume_unique=True)


def _cut(ny: int, nx: int, periodic: bool) -> list[Front]:
    """Return the fronts, parents before children."""
    fronts: list[Front] = []
    stack = [((0, ny), (0, nx), 0, -1)]
    while stack:
        rows, columns, depth, parent = stack.pop()
        height, width = rows[1] - rows[0], columns[1] - columns[0]
        ring = _ring(rows, columns, (ny, nx, periodic))
        here, below = len(fronts), depth + 1
        if periodic and width == nx:
            kept, ring = (columns[0], columns[0] + 1), np.empty(0, np.int64)
            stack.append((rows, (columns[0] + 1, columns[1]), below, here))
            eliminated = _rectangle(rows, kept, nx)
        elif max(height, width) <= LEAF_SIDE or (
            min(height, width) < 3 and height * width <= LEAF_SIDE**2
        ):
            eliminated = _rectangle(rows, columns, nx)
        elif width >= height:
            cut = sum(columns) // 2
            eliminated = _rectangle(rows, (cut, cut + 1), nx)
            stack.append((rows, (columns[0], cut), below, here))
            stack.append((rows, (cut + 1, columns[1]), below, here))
        else:
            cut = sum(rows) // 2
            eliminated = _rectangle((cut, cut + 1), columns, nx)
            stack.append(((rows[0], cut), columns, below, here))
            stack.append(((cut + 1, rows[1]), columns, below, here))
        fronts.append(Front(depth, parent, eliminated, ring))
    return fronts


def _cost(n_eliminated: int, n_ring: int) -> int:
    return n_eliminated * (n_eliminated + n_ring) ** 2


def _group(fronts: list[Front]) -> list[list[int]]:
    """Return lists of fronts of one depth and of similar size, deepest first."""
    groups: list[list[int]] = []
    for depth in range(max(f.depth for f in fronts), -1, -1):
        level = [k for k, f in enumerate(fronts) if f.depth == depth]
        level.sort(key=lambda k: (-fronts[k].eliminated.size - fronts[k].ring.size, k))
        group: list[int] = []
        useful = wide = deep = 0
        for k in level:
            e, r = fronts[k].eliminated.size, fronts[k].ring.size
            wide, deep, useful = max(wide, e), max(deep, r), useful + _cost(e, r)
            if group and _cost(wide, deep) * (len(group) + 1) > PADDING_WASTE * useful:
                groups.append(group)
                group, wide, deep, useful = [], e, r, _cost(e, r)
            group.append(k)
        groups.append(group)
    for number, group in enumerate(groups):
        for slot, k in enumerate(group):
            fronts[k].group, fronts[k].slot = number, slot
    return groups


@dataclass
class _Layout:
    """Padded sizes of every group and its offsets in the two buffers of its level."""

    sizes: list[tuple[int, int]]
    schur: list[int]
    inverse: list[int]
    schur_length: dict[int, int]
    inverse_length: dict[int, int]


def _lay_out(fronts: list[Front], members: list[list[int]]) -> _Layout:
    out = _Layout([], [], [], {}, {})
    for group in members:
        depth = fronts[group[0]].depth
        e = max(fronts[k].eliminated.size for k in group)
        r = max(fronts[k].ring.size for k in group)
        out.sizes.append((e, r))
        out.schur.append(out.schur_length.setdefault(depth, 0))
        out.inverse.append(out.inverse_length.setdefault(depth, 0))
        out.schur_length[depth] += len(group) * r * r
        out.inverse_length[depth] += len(group) * (e + r) ** 2
    return out


def _tables(
    fronts: list[Front], members: list[list[int]], ny: int, nx: int, periodic: bool
) -> list[Group]:
    """Return the groups with their index tables."""
    layout = _lay_out(fronts, members)
    neighbours = _neighbours(ny, nx, periodic)
    children: dict[int, list[int]] = {}
    for k, front in enumerate(fronts):
        children.setdefault(front.parent, []).append(k)
    scratch = np.full(ny * nx + 1, -1)
    groups = []
    for number, group in enumerate(members):
        e, r = layout.sizes[number]
        entries = [_entries(fronts[k], e, r, neighbours, scratch) for k in group]
        depth = fronts[group[0]].depth
        groups.append(
            Group(
                depth=depth,
                count=len(group),
                n_eliminated=e,
                n_ring=r,
                eliminated=_padded([fronts[k].eliminated for k in group], e, ny * nx),
                ring=_padded([fronts[k].ring for k in group], r, ny * nx),
                entries=_joined([t[0] for t in entries]),
                sources=_joined([t[1] for t in entries]),
                padding=_joined([t[2] for t in entries]),
                children=_child_tables(fronts, group, children, layout, scratch),
                parent=_parent_table(fronts, group, layout, scratch),
            )
        )
    return groups


def _neighbours(ny: int, nx: int, periodic: bool) -> Index:
    """Return the flat index of the nine neighbours of each node, ny·nx where there is none."""
    node = np.arange(ny * nx)
    row, column = np.divmod(node, nx)
    table = np.full((ny * nx, 9), ny * nx)
    for k, (dj, di) in enumerate(OFFSETS):
        j, i = row + dj, column + di
        inside = (j >= 0) & (j < ny)
        if not periodic:
            inside &= (i >= 0) & (i < nx)
        table[inside, k] = (j * nx + i % nx)[inside]
    return table


def _entries(
    front: Front, e: int, r: int, neighbours: Index, scratch: Index
) -> tuple[Index, Index, Index]:
    """Return where stencil entries go, where they come from, and the unit padding."""
    size, n = e + r, neighbours.shape[0]
    nodes, positions = front.local(e)
    scratch[nodes] = positions
    column = scratch[neighbours[nodes]]  # (nodes, 9); -1 where the neighbour is elsewhere
    row = np.broadcast_to(positions[:, None], column.shape)
    mine = (column >= 0) & ((row < e) | (column < e))
    source = np.arange(9)[None, :] * n + nodes[:, None]
    scratch[nodes] = -1
    base = front.slot * size * size
    idle = np.arange(front.eliminated.size, e)
    return base + row[mine] * size + column[mine], source[mine], base + idle * (size + 1)


def _child_tables(
    fronts: list[Front],
    group: list[int],
    children: dict[int, list[int]],
    layout: _Layout,
    scratch: Index,
) -> list[Tensor]:
    """Return, for the first and the second child, where each front entry gets its Schur term."""
    e, r = layout.sizes[fronts[group[0]].group]
    size, depth = e + r, fronts[group[0]].depth
    most = max(len(children.get(k, [])) for k in group)
    dump = layout.schur_length.get(depth + 1, 0)
    tables = []
    for which in range(most):
        table = np.full((len(group), size, size), dump)
        for slot, k in enumerate(group):
            if len(children.get(k, [])) <= which:
                continue
            child = fronts[children[k][which]]
            nodes, positions = fronts[k].local(e)
            scratch[nodes] = positions
            at = scratch[child.ring]
            scratch[nodes] = -1
            width = layout.sizes[child.group][1]
            base = layout.schur[child.group] + child.slot * width * width
            ring = np.arange(child.ring.size)
            table[slot][np.ix_(at, at)] = base + ring[:, None] * width + ring[None, :]
        tables.append(_compact(table))
    return tables


def _parent_table(fronts: list[Front], group: list[int], layout: _Layout, scratch: Index) -> Tensor:
    """Return where the inverse of the ring is found in the inverses of the level above."""
    _, r = layout.sizes[fronts[group[0]].group]
    dump = layout.inverse_length.get(fronts[group[0]].depth - 1, 0)
    table = np.full((len(group), r, r), dump)
    for slot, k in enumerate(group):
        if fronts[k].parent < 0 or fronts[k].ring.size == 0:
            continue
        parent = fronts[fronts[k].parent]
        e, r_parent = layout.sizes[parent.group]
        size = e + r_parent
        nodes, positions = parent.local(e)
        scratch[nodes] = positions
        at = scratch[fronts[k].ring]
        scratch[nodes] = -1
        base = layout.inverse[parent.group] + parent.slot * size * size
        n = at.size
        table[slot, :n, :n] = base + at[:, None] * size + at[None, :]
    return _compact(table)


def _padded(lists: list[Index], width: int, fill: int) -> Tensor:
    table = np.full((len(lists), width), fill)
    for row, values in zip(table, lists, strict=True):
        row[: values.size] = values
    return torch.from_numpy(table)


def _joined(parts: list[Index]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def _compact(table: Index) -> Tensor:
    """Return the flat table, in 32 bits where that is enough (it halves the memory)."""
    small = table.max(initial=0) < np.iinfo(np.int32).max
    return torch.from_numpy(table.ravel().astype(np.int32 if small else np.int64))
