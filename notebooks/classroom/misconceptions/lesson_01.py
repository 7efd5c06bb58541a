"""Lesson 01, tokens."""

from llama_np.tokenizer.bpe import merge_pairs

from .registry import wrong


@wrong("code points instead of bytes", "01/bytes-why", task="to_bytes")
def code_points(text):
    """ord numbers characters; in UTF-8 most characters take two to four bytes."""
    return [ord(character) for character in text]


@wrong("characters beyond plain English are lost", "01/bytes-note", task="to_bytes")
def only_ascii(text):
    """256 bytes are enough for every text in the world: nothing has to be dropped."""
    return list(text.encode("ascii", "ignore"))


def joined_ranks(parts, ranks):
    pairs = [left + right for left, right in zip(parts, parts[1:], strict=False)]
    return [(ranks[pair], i, len(pair)) for i, pair in enumerate(pairs) if pair in ranks]


@wrong("the leftmost pair goes first", "01/merge-why", task="first_join")
def leftmost_pair(parts, ranks):
    """The pair whose token has the lowest rank goes first: it was learned first."""
    return next((i for _, i, _ in joined_ranks(parts, ranks)), None)


@wrong("the highest rank goes first", "01/merge-why", task="first_join")
def highest_rank(parts, ranks):
    """A low rank was learned early: the lowest goes first."""
    return max(joined_ranks(parts, ranks), default=(0, None))[1]


@wrong("the longest token goes first", "01/merge-why", task="first_join")
def longest_pair(parts, ranks):
    """Length plays no part: ranks alone decide, as the training counted."""
    found = [(-length, i) for _, i, length in joined_ranks(parts, ranks)]
    return min(found, default=(0, None))[1]


@wrong("the last pair was never looked at", "01/merge-why", task="first_join")
def without_the_last_pair(parts, ranks):
    """n parts have n - 1 pairs of neighbours: range(len(parts) - 1) goes through their places."""
    return min(joined_ranks(parts[:-1], ranks), default=(0, None))[1]


@wrong("place 0 was taken for none", "01/merge-why", task="first_join")
def place_0_is_none(parts, ranks):
    """0 counts as false in Python: ask whether the place is None, not whether it is true."""
    return min(joined_ranks(parts, ranks), default=(0, None))[1] or None


@wrong("of two equal tokens the right one was taken", "01/merge-why", task="first_join")
def right_of_two(parts, ranks):
    """Where a token can be made in two places, the left one goes first: < keeps it, <= does not."""
    found = [(rank, -i) for rank, i, _ in joined_ranks(parts, ranks)]
    return -min(found)[1] if found else None


def merge_by(first_join):
    """``merge`` with another answer to which two are joined first."""

    def merge(piece, ranks):
        if piece in ranks:
            return [piece]
        parts = [bytes([byte]) for byte in piece]
        while (i := first_join(parts, ranks)) is not None:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        return parts

    return merge


@wrong("the last pair was never looked at", "01/merge-why", task="merge")
def merged_without_the_last_pair(piece, ranks):
    """n parts have n - 1 pairs of neighbours, and the last pair can be a token too."""
    return merge_by(without_the_last_pair)(piece, ranks)


@wrong("place 0 was taken for none", "01/merge-why", task="merge")
def merged_until_place_0(piece, ranks):
    """0 counts as false, and the loop ends too early: write `is not None` behind the place."""
    return merge_by(place_0_is_none)(piece, ranks)


@wrong("of two equal tokens the right one was taken", "01/merge-why", task="merge")
def merged_from_the_right(piece, ranks):
    """Where a token can be made in two places, the left one goes first."""
    return merge_by(right_of_two)(piece, ranks)


@wrong("a piece that is itself a token was not taken whole", "01/ids-note", task="merge")
def joining_alone(piece, ranks):
    """Joining can get stuck on the way to a token: Llama 3 looks the whole piece up first."""
    return merge_pairs(piece, ranks)[-1]


@wrong("the longest token from the left", "01/merge-why", task="merge")
def longest_match(piece, ranks):
    """Tokens are made by joining neighbours in the order of their ranks, not by length."""
    tokens = []
    while piece:
        end = max(n for n in range(1, len(piece) + 1) if piece[:n] in ranks)
        tokens, piece = [*tokens, piece[:end]], piece[end:]
    return tokens


@wrong("joined only once", "01/merge-loop-note", task="merge")
def joined_once(piece, ranks):
    """Go on until no two neighbours make a token."""
    return merge_pairs(piece, ranks)[:2][-1]


@wrong("the begin-of-text token is missing", "01/special-why", task="encode")
def no_begin_of_text(pieces, ranks, bos_id):
    """The model expects the token in front of every text, and no text holds it by itself."""
    return [i for piece in pieces for i in whole(piece, ranks)]


@wrong("bytes instead of tokens", "01/merge-why", task="encode")
def bytes_as_ids(pieces, ranks, bos_id):
    """Bytes are only the start: neighbours have to be joined before their ids are looked up."""
    return [bos_id, *(ranks[bytes([byte])] for byte in "".join(pieces).encode())]


@wrong("a begin-of-text token before every piece", "01/special-why", task="encode")
def begin_of_every_piece(pieces, ranks, bos_id):
    """It stands once, in front of the text: a piece is no text of its own."""
    return [i for piece in pieces for i in (bos_id, *whole(piece, ranks))]


@wrong("tokens were joined across the cut between two pieces", "01/split-why", task="encode")
def joined_across_pieces(pieces, ranks, bos_id):
    """No token reaches over a cut: each piece is joined by itself, one after the other."""
    return [bos_id, *whole("".join(pieces), ranks)]


def whole(piece, ranks):
    piece = piece.encode()
    tokens = [piece] if piece in ranks else merge_pairs(piece, ranks)[-1]
    return [ranks[token] for token in tokens]


@wrong("every token was decoded alone", "01/decode-why", task="decode")
def decoded_one_by_one(ids, tokens):
    """A token may hold part of a character: put all bytes together first, then decode."""
    return "".join(tokens[i].decode(errors="replace") for i in ids)


@wrong("spaces were put between the tokens", "01/decode-why", task="decode")
def spaces_between(ids, tokens):
    """A token brings its own space along: the bytes follow one another without anything between."""
    return b" ".join(tokens[i] for i in ids).decode(errors="replace")
