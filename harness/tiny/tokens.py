"""Tokenizer files for the bundled models, written by hand so that old and new transformers read them alike.

transformers 5 saves only ``tokenizer.json``, which 4.x can't load as a CLIPTokenizer; the files
here are the classic ones. Every word of the world is a single token; other words fall into letters,
so a prompt of the user's own encodes to something instead of vanishing.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from harness.tiny.world import WORDS

CLIP_LENGTH = 32  # start + 16 words + end, with room for a user's own prompt
T5_LENGTH = 20  # 16 words + end, and three to spare
JUDGE_LENGTH = 20
_LETTERS = string.ascii_lowercase + string.digits + ".,-'"


def write_clip(folder: Path, length: int = CLIP_LENGTH) -> None:
    """A byte-pair vocabulary in which every word of the world is one token (CLIPTokenizer files)."""
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        end_of_word_suffix="</w>",
        initial_alphabet=list(_LETTERS),
        show_progress=False,
    )
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bpe.train_from_iterator(sorted(WORDS), trainer)
    merges: list[tuple[str, str]] = [tuple(m) for m in json.loads(bpe.to_str())["model"]["merges"]]
    symbols = [*_LETTERS, *(letter + "</w>" for letter in _LETTERS)]
    symbols += [a + b for a, b in merges if a + b not in symbols]
    vocabulary = {symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))}
    # The end token needs the highest id: older CLIP code pools at argmax of the ids.
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    _write(folder / "vocab.json", json.dumps(vocabulary, ensure_ascii=False))
    _write(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    special_tokens = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    _config(folder, special_tokens, tokenizer_class="CLIPTokenizer", model_max_length=length)


def clip_vocabulary(folder: Path) -> tuple[int, int]:
    """(size, id of the end token) of the CLIP files in ``folder``."""
    vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text())
    return len(vocabulary), vocabulary["<|endoftext|>"]


T5_PIECES = (
    *(("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)),
    *((f"\u2581{word}", -1.0) for word in sorted(set(WORDS))),
    *((letter, -12.0) for letter in ("\u2581", *_LETTERS)),
)


def write_t5(folder: Path) -> None:
    """A unigram vocabulary with one piece a word (T5TokenizerFast files)."""
    unigram = Tokenizer(models.Unigram(list(T5_PIECES), unk_id=2, byte_fallback=False))
    # The same two pre-tokenizers that transformers 5 rebuilds, so that both versions agree.
    unigram.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always", split=True),
        ]
    )
    unigram.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always", split=True)
    unigram.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    unigram.add_special_tokens(["<pad>", "</s>", "<unk>"])
    folder.mkdir(parents=True, exist_ok=True)
    unigram.save(str(folder / "tokenizer.json"))
    special_tokens = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _config(folder, special_tokens, tokenizer_class="T5TokenizerFast", model_max_length=T5_LENGTH, extra_ids=0)


JUDGE_WORDS = ("<unk>", "<pad>", "<start>", *sorted(set(WORDS)), "<end>")


def write_judge(folder: Path) -> None:
    """A word-level vocabulary for the judge; ``<end>`` has the highest id (open_clip pools at argmax)."""
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(JUDGE_WORDS)}, unk_token="<unk>"))
    words.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(r"[.,]"), " ")])
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[(w, JUDGE_WORDS.index(w)) for w in ("<start>", "<end>")],
    )
    specials = {"bos_token": "<start>", "eos_token": "<end>", "pad_token": "<pad>", "unk_token": "<unk>"}
    words.add_special_tokens(list(specials.values()))
    folder.mkdir(parents=True, exist_ok=True)
    words.save(str(folder / "tokenizer.json"))
    _config(folder, specials, tokenizer_class="PreTrainedTokenizerFast", model_max_length=JUDGE_LENGTH)


def _config(folder: Path, special_tokens: dict[str, str], **settings: str | int) -> None:
    _write(folder / "special_tokens_map.json", json.dumps(special_tokens, indent=2))
    config = {**special_tokens, **settings, "clean_up_tokenization_spaces": False}
    _write(folder / "tokenizer_config.json", json.dumps(config, indent=2, sort_keys=True))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + ("" if text.endswith("\n") else "\n"))
