"""Solutions of exercise 01. Try first."""

from classroom import mine


def to_bytes(text):
    return list(text.encode())


def first_join(parts, ranks):
    best, where = None, None
    for i in range(len(parts) - 1):
        rank = ranks.get(parts[i] + parts[i + 1])
        if rank is not None and (best is None or rank < best):
            best, where = rank, i
    return where


def merge(piece, ranks):
    if piece in ranks:
        return [piece]
    parts = [bytes([byte]) for byte in piece]
    while (i := mine.first_join(parts, ranks)) is not None:
        parts = [*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :]]
    return parts


def encode(pieces, ranks, bos_id):
    ids = [bos_id]
    for piece in pieces:
        for token in mine.merge(piece.encode(), ranks):
            ids.append(ranks[token])
    return ids


def decode(ids, tokens):
    return b"".join(tokens[i] for i in ids).decode(errors="replace")
