"""The sixteen understanding benchmarks out of their published TSV or parquet files, or out of JSON lines with the same fields.

The files lie in the benchmark's data folder. Pictures go once to a cache beside the data root (`tables.Pictures`), since samples name their
images by path. Which field is what stands in `understanding_tables`, the wording in `understanding_prompts`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from evals.datasets.local import benchmark_folder, data_file, data_root
from evals.datasets.tables import Pictures, Read, check_hash, read_table
from evals.datasets.understanding_prompts import form_of
from evals.datasets.understanding_rows import WITHOUT_IMAGE, shape
from evals.datasets.understanding_tables import TABLES
from evals.errors import DataError
from evals.registry import suggest
from evals.types import Sample

_SHARD = re.compile(r".*-\d{5}-of-\d{5}.*\.parquet")
PUBLISHED = "published"


class UnderstandingDataset:
    """One benchmark; the task is the group that it reports, the prompt the whole wording of the chosen protocol."""

    def __init__(
        self,
        *,
        benchmark: str,
        folder: str | None = None,
        protocol: str = "official",
        split: str | None = None,
        config: str | None = None,
        file: str | None = None,
        checksum: str | None = None,
        blind: bool = False,
    ) -> None:
        """Name the data.

        Args:
            benchmark: of `TABLES`.
            folder: a copy of its files; None looks under the data root.
            protocol: wording of the question, see `understanding_prompts.FORMS`.
            split: other than the published evaluation's; by name of the parquet files, by the column `split` elsewhere.
            config: folder of the parquet files, where a repository holds several sets.
            file: one file of the folder, where it holds several.
            checksum: `md5:...` or `sha256:...` that a single file must have, or `published`: that of the TSV file as VLMEvalKit states it.
            blind: control: ask without the images.

        Raises:
            DataError: an unknown benchmark or protocol.
        """
        if benchmark not in TABLES:
            near = suggest(benchmark, TABLES)
            raise DataError(f"understanding: benchmark: got {benchmark}; expected one of {', '.join(TABLES)}.{near} Change the suite.")
        self.benchmark, self.protocol, self.folder = benchmark, protocol, folder
        self.split, self.file, self.checksum, self.blind = split, file, checksum, blind
        self.table, self._form = TABLES[benchmark], form_of(benchmark, protocol)
        self.config = config or self.table.config

    @property
    def root(self) -> Path:
        """The folder of the images; filled by `load`."""
        return data_root().parent / "sources" / "understanding"

    def load(self) -> Iterator[Sample]:
        """Yield samples in file order; the id is the official one, or counts the rows where there is none.

        Raises:
            DataError: no data, another hash, or a row that is broken, with file and number.
        """
        self._check()
        counted: Counter[str] = Counter()
        number = 0
        for path in self.files:
            for read in read_table(path, Pictures(self.root), columns=self.table.images):
                if not self._wanted(path, read):
                    continue
                self._expect_image(read)
                for shaped in shape(self.benchmark, read.where, read.row, read.images, number):
                    if self.protocol == "vlmevalkit" and self.benchmark == "mmstar" and not shaped.asked.options:
                        raise DataError(
                            f"{read.where}: got no option columns; expected A to D, which the protocol vlmevalkit lists. Use "
                            f"{self.table.tsv}, or the protocol official."
                        )
                    counted[shaped.name] += 1
                    images = [] if self.blind else shaped.metadata["images"]
                    yield Sample(
                        # MME asks twice about an image, under one id.
                        sample_id=f"{shaped.name}-{counted[shaped.name]}" if self.benchmark == "mme" else shaped.name,
                        task=shaped.task,
                        prompt=self._form(shaped.asked),
                        metadata={**shaped.metadata, "images": images},
                        image=images[0] if images else None,
                        target=shaped.metadata["answer"],
                    )
                number += 1
        if not number:
            split = self.split or self.table.tsv_split
            raise DataError(
                f"{self.benchmark}: got no row{f' of split {split}' if split else ''} in {', '.join(path.name for path in self.files)}; "
                "expected at least one. Name another split or file."
            )

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files that are read: all of one kind.

        Raises:
            DataError: none, or more than one choice.
        """
        if self.file is not None:
            return (data_file(self.benchmark, self.file, folder=self.folder),)
        base = benchmark_folder(self.benchmark, self.folder)
        published = base / self.table.tsv
        single = [(published,)] if published.is_file() else [(path,) for path in sorted(base.glob("*.tsv"))]
        parquet = self._parquet(base)
        choices = [*single, *([parquet] if parquet else [])] or [(path,) for path in sorted(base.glob("*.jsonl"))]
        if not choices:
            raise DataError(
                f"{self.benchmark}: got no {self.table.tsv}, no parquet file of split {self.split or self.table.split} and no .jsonl in "
                f"{base}; expected the benchmark's published files. Run `uniar-eval data fetch {self.benchmark}`, or name a copy's "
                "folder with `--set data.folder=DIR`."
            )
        if len(choices) > 1:
            names = " and ".join(choice[0].relative_to(base).as_posix() for choice in choices)
            raise DataError(f"{self.benchmark}: got {names} in {base}; expected one. Name it with `--set data.file=NAME`.")
        return choices[0]

    def _parquet(self, base: Path) -> tuple[Path, ...]:
        split, every = self.split or self.table.split, sorted(base.rglob("*.parquet"))
        found = [path for path in every if path.name == f"{split}.parquet" or path.name.startswith(f"{split}-")]
        # A file that is not one of the shards of some split is the whole set (MMStar).
        found = found or [path for path in every if not _SHARD.fullmatch(path.name)]
        if self.config is None:
            return tuple(found)
        own = [path for path in found if self.config in path.relative_to(base).parts[:-1]]
        # A copy of one set may have lost its folder; another set's folder is never taken for it.
        return tuple(own or [path for path in found if path.relative_to(base).parts[:-1] in ((), ("data",))])

    def _check(self) -> None:
        if self.checksum is None:
            return
        if len(self.files) > 1:
            raise DataError(
                f"{self.benchmark}: checksum: got one for {len(self.files)} files; expected one file. Take it out of the suite."
            )
        if self.checksum == PUBLISHED and self.files[0].name != self.table.tsv:
            raise DataError(
                f"{self.benchmark}: checksum: got {PUBLISHED} for {self.files[0].name}; expected {self.table.tsv}. Give a digest."
            )
        check_hash(self.files[0], f"md5:{self.table.md5}" if self.checksum == PUBLISHED else self.checksum)

    def _wanted(self, path: Path, read: Read) -> bool:
        """Whether a row is of the split and, in a TSV file, has an image (rows without one are dropped there, as published)."""
        if path.suffix.lower() == ".parquet":
            return True
        if path.suffix.lower() == ".tsv" and read.asked and not read.images:
            return False
        if self.split is not None and "split" not in read.row:
            raise DataError(f"{read.where}: split: got no such column; expected one that says {self.split}. Take data.split out.")
        split = self.split or self.table.tsv_split
        return split is None or read.row.get("split", split) == split

    def _expect_image(self, read: Read) -> None:
        if not read.images and (not read.asked or self.benchmark not in WITHOUT_IMAGE):
            columns = " or ".join(choice[0] for choice in self.table.images)
            raise DataError(f"{read.where}: image: got none; expected a picture in {columns}. Fetch the file again.")
