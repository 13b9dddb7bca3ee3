"""Recipe: every choice of a run as validated data, read from and written to TOML."""

from __future__ import annotations

import os  # noqa: TC003 - pydantic evaluates annotations of this module
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Any, ClassVar, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dedupkit import recipes
from dedupkit.errors import UsageError, did_you_mean, error_text

_MAX_PHASH_BITS = 15
_TEMPLATE_FIELDS = frozenset({"caption", "key", "width", "height"})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class SourceOptions(_Part):
    """How a source is read; what is not named is guessed, and the guess is said.

    Attributes
    ----------
    image_column, caption_column, key_column : str or None
        Columns of a table, or entries of a mapping; for an image folder, `caption_column` is the column of its
        metadata file.
    url_column : str or None
        Column of a table, or entry of a mapping, that says where an image comes from.
    embedding_column, hash_column : str or None
        Columns of a table that hold a descriptor, and a pHash or PDQ hash, of each image.  Where one is named, no image
        is decoded.
    """

    image_column: str | None = None
    caption_column: str | None = None
    key_column: str | None = None
    url_column: str | None = None
    embedding_column: str | None = None
    hash_column: str | None = None


class Limits(_Part):
    """What is refused before it is decoded.

    Attributes
    ----------
    max_pixels : int
        Width times height that the image's header may state.
    max_bytes : int
        Encoded size in bytes.
    """

    max_pixels: int = Field(default=178_956_970, ge=1)  # where Pillow itself sees a decompression bomb
    max_bytes: int = Field(default=256 << 20, ge=1)


class Fingerprints(_Part):
    """How images are fingerprinted.

    Attributes
    ----------
    draft : bool
        Decode JPEGs at reduced scale (at least 88 pixels a side) and greyscale: three times as fast, a few bits of each
        hash move.  Without it pHash equals imagededup's and PDQ the reference code's, bit for bit.
    max_frame_range : int
        Largest spread, in levels of 0-255, of a row or column that still counts as part of a uniform frame.
    descriptor : str
        The network that describes pictures: "dedupkit" (bundled), "none", "sscd", "sscd-distilled", "imagededup", the
        path of an ONNX file, "timm:NAME", "torchvision:NAME" or "clip:NAME"; see docs/descriptors.md.  "given" takes
        the embeddings of a list.  "auto" is "none" in the preset fast, else "given" of a list and "dedupkit" of images.
    """

    draft: bool = True
    max_frame_range: int = Field(default=10, ge=0, le=255)
    descriptor: str = "auto"


class Matching(_Part):
    """When two samples are a pair.

    Attributes
    ----------
    hash : "pdq" or "phash"
        The perceptual hash that is compared.
    max_hamming_bits : int or "auto"
        Largest Hamming distance of a pair.  "auto" starts at 31 of 256 bits for PDQ (Meta's recommendation) or 6 of
        64 for pHash and narrows as the set grows, so that chance pairs stay rare.
    turned : bool
        Also match mirrored and quarter-turned copies.
    min_pdq_quality : int
        Images below it are matched by their exact bytes only; Meta discards 49 and below.
    min_luminance_entropy : float
        Hashes of images below this many bits (of 5) are not compared: flat drawings, letters, blanks.
    min_cosine : float
        The floor: pairs of descriptors from here on are candidates, which geometry accepts or refuses.  0.96 where the
        source brings its own descriptors and nothing is said.
    sure_cosine : float
        Pairs of near hashes whose descriptors are at least as near as this need no geometry.
    max_neighbours : int
        How many nearest descriptors are looked at first; longer lists are followed up to 1,024.
    verify : "geometry" or "none"
        What makes a candidate a pair: "geometry", or "none" to take every one from `min_cosine` on, which is
        semantic deduplication unless the floor is high.  "none" where the source brings its own descriptors.
    min_score : float
        What geometry's evidence has to reach, in [0, 1].
    look_alikes : "report" or "drop"
        What becomes of pairs at `min_look_alike_cosine` or more that geometry refuses: burst shots, the same product,
        the same template.  "drop" treats them as copies.
    min_look_alike_cosine : float
        From where on a refused pair counts as look-alike.
    """

    hash: Literal["pdq", "phash"] = "pdq"
    max_hamming_bits: int | Literal["auto"] = "auto"
    turned: bool = True
    min_pdq_quality: int = Field(default=50, ge=0, le=100)
    min_luminance_entropy: float = Field(default=2.1, ge=0, le=5)
    min_cosine: float = Field(default=0.5, ge=0, le=1)
    sure_cosine: float = Field(default=0.6, ge=0, le=1)
    max_neighbours: int = Field(default=32, ge=1, le=1024)
    verify: Literal["geometry", "none"] = "geometry"
    min_score: float = Field(default=0.5, ge=0, le=1)
    look_alikes: Literal["report", "drop"] = "report"
    min_look_alike_cosine: float = Field(default=0.75, ge=0, le=1)

    @field_validator("max_hamming_bits")
    @classmethod
    def _radius_is_searchable(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 0 <= value <= 63:
            raise ValueError(f"must be in [0, 63], got {value}; wider radii match unrelated images")
        return value

    @model_validator(mode="after")
    def _radius_fits_the_hash(self) -> Self:
        if self.hash == "phash" and isinstance(self.max_hamming_bits, int) and self.max_hamming_bits > _MAX_PHASH_BITS:
            raise ValueError(
                f"max_hamming_bits must be in [0, {_MAX_PHASH_BITS}] for phash, got {self.max_hamming_bits}; "
                "wider radii match unrelated images"
            )
        return self


class Hygiene(_Part):
    """Which pictures are of no use, and what is hidden in their files.

    Attributes
    ----------
    strip_metadata : bool
        Take EXIF, GPS, XMP, IPTC, comments and thumbnails out of every JPEG, PNG and WebP that is emitted, without
        touching a pixel; the colour profile stays, and the orientation.
    orientation : "keep" or "bake"
        What becomes of images that EXIF says are to be turned: "keep" leaves the tag to readers; "bake" turns the
        pixels of JPEG, PNG and WebP and takes the tag away, so that readers that ignore it see them upright too.
    drop_fields : tuple of str
        Fields of the samples that are not emitted: img2dataset puts the EXIF of an image there.
    min_side : int
        Pixels that the shorter side of a picture must have.
    max_aspect : float
        Longer side over shorter side that a picture may have.
    min_contrast : int
        Levels of 0-255 between the darkest and the brightest 1 in 200 pixels; below, a picture is blank.
    min_brightest : int
        Level that the brightest 1 in 200 pixels must reach; below, a picture is dark.
    max_darkest : int
        Level that the darkest 1 in 200 pixels may have; above, a picture is overexposed.
    max_blur : float
        Blur in [0, 1] (Crete et al. 2007) that a picture may have, seen at the scale of fingerprints, some 100 to 250
        pixels; sharp photos are at 0.2 to 0.5, and 1 lets everything pass.
    animated : "keep" or "quarantine"
        What becomes of animations; kept ones are judged by their first frame.
    placeholders : "keep" or "quarantine"
        What becomes of pictures that stand for a missing one, "image not found" and default avatars, known by hash; see
        docs/hygiene.md.
    placeholder_files : tuple of str
        Your own lists of such pictures: files of hexadecimal PDQ hashes, one a line, or ``FILE.parquet:COLUMN``.
    faces : "off", "count", "blur" or "quarantine"
        Look for faces and count them, blur them on the way out, or take pictures with one out of the set; pictures in
        which one is blurred are encoded anew, as `[augment]` says.  All but "off" needs ``dedupkit[faces]``.
    min_face_score : float
        How sure the detector has to be of a face, in [0.3, 1].
    min_face_share : float
        Share of the picture's area that a face has to have to count.
    documents : "off", "count" or "quarantine"
        Look for pages of text.  All but "off" needs ``dedupkit[documents]``.
    max_text_share : float
        Share of a picture's area that lines of text may take; above, with at least `min_text_lines`, it is a document.
    min_text_lines : int
        Lines of text that make a document.
    nsfw : "off", "count" or "quarantine"
        Look for nudity and sex.  All but "off" needs ``dedupkit[nsfw]``.
    max_nsfw : float
        Score in [0, 1] that a picture may have.
    """

    strip_metadata: bool = True
    orientation: Literal["keep", "bake"] = "keep"
    drop_fields: tuple[str, ...] = ("exif",)
    min_side: int = Field(default=16, ge=0)
    max_aspect: float = Field(default=10.0, ge=1)
    min_contrast: int = Field(default=8, ge=0, le=255)
    min_brightest: int = Field(default=40, ge=0, le=255)
    max_darkest: int = Field(default=235, ge=0, le=255)
    max_blur: float = Field(default=0.85, ge=0, le=1)
    animated: Literal["keep", "quarantine"] = "keep"
    placeholders: Literal["keep", "quarantine"] = "quarantine"
    placeholder_files: tuple[str, ...] = ()
    faces: Literal["off", "count", "blur", "quarantine"] = "off"
    min_face_score: float = Field(default=0.6, ge=0.3, le=1)
    min_face_share: float = Field(default=0.0, ge=0, le=1)
    documents: Literal["off", "count", "quarantine"] = "off"
    max_text_share: float = Field(default=0.2, ge=0, le=1)
    min_text_lines: int = Field(default=5, ge=1)
    nsfw: Literal["off", "count", "quarantine"] = "off"
    max_nsfw: float = Field(default=0.8, ge=0, le=1)


_OfPart = Literal["clean", "keep", "drop_caption", "quarantine"]
_OfWhole = Literal["keep", "drop_caption", "quarantine"]


class Captions(_Part):
    """What becomes of captions that hold what none should, that copies had, and that stand over several pictures.

    "clean" takes what was found out of the caption, "keep" counts it only, "drop_caption" leaves the sample without a
    caption, "quarantine" takes the sample out of the set.

    Attributes
    ----------
    empty : "keep", "drop_caption" or "quarantine"
        No caption, or none with a letter, digit or symbol, be it that cleaning left nothing.
    bad_unicode : "clean", "keep", "drop_caption" or "quarantine"
        UTF-8 read as something else, which is mended; U+FFFD, private and never assigned characters, which are cut.
    control_characters : "clean", "keep", "drop_caption" or "quarantine"
        Control and invisible characters and terminal escapes, but not line breaks, nor what scripts and emoji need.
    html : "clean", "keep", "drop_caption" or "quarantine"
        Tags, comments and entities of HTML; the text stays, and so does that of an image's alt.
    email : "clean", "keep", "drop_caption" or "quarantine"
        E-mail addresses.
    phone : "clean", "keep", "drop_caption" or "quarantine"
        Phone numbers that could be dialled, as they are written in `phone_regions` or internationally.
    phone_regions : tuple of str
        Countries (ISO 3166-1, two capital letters) whose national way of writing phone numbers is looked for.
    url : "clean", "keep", "drop_caption" or "quarantine"
        Addresses of pages and files among other words.
    url_only : "keep", "drop_caption" or "quarantine"
        Captions that are an address and nothing else.
    file_name : "clean", "keep", "drop_caption" or "quarantine"
        Names of files among other words; of those that are a plain word, the ending alone is cut.
    file_name_only : "keep", "drop_caption" or "quarantine"
        Captions that are a file's, camera's or counter's name and nothing else: ``IMG_0042``, ``a/b.jpg``, ``image 3``.
    boilerplate : "clean", "keep", "drop_caption" or "quarantine"
        Phrases of agencies and web pages among other words: "stock photo", "click to enlarge".
    boilerplate_only : "keep", "drop_caption" or "quarantine"
        Captions that are such phrases or placeholders and nothing else: "Image", "no alt text", "null".
    merge : bool
        Give each sample that stays the captions of its dropped copies too, so that training can draw one each time
        (Somepalli et al. 2023, arXiv 2305.20086).
    max_captions : int
        How many captions a sample then has, its own among them.
    repeated : "report", "template" or "drop_caption"
        What becomes of captions that stand over `min_repeats` or more different pictures: counted only, rewritten by
        `template`, or left out.
    min_repeats : int
        Over how many different pictures a caption has to stand to count as repeated.
    template : str
        A rewritten caption, made of {caption}, {key}, {width} and {height}; one of the last three has to be in it.
    """

    empty: _OfWhole = "drop_caption"
    bad_unicode: _OfPart = "clean"
    control_characters: _OfPart = "clean"
    html: _OfPart = "clean"
    email: _OfPart = "clean"
    phone: _OfPart = "clean"
    phone_regions: tuple[str, ...] = ("US", "GB")
    url: _OfPart = "clean"
    url_only: _OfWhole = "drop_caption"
    file_name: _OfPart = "clean"
    file_name_only: _OfWhole = "drop_caption"
    boilerplate: _OfPart = "keep"
    boilerplate_only: _OfWhole = "drop_caption"
    merge: bool = True
    max_captions: int = Field(default=20, ge=1)
    repeated: Literal["report", "template", "drop_caption"] = "report"
    min_repeats: int = Field(default=2, ge=2)
    template: str = "{caption} ({width} x {height})"

    @field_validator("phone_regions")
    @classmethod
    def _regions_are_codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(len(each) == 2 and each.isascii() and each.isalpha() and each.isupper() for each in value):
            raise ValueError('must be country codes of two capital letters, such as "DE"')
        return value

    @field_validator("template")
    @classmethod
    def _template_tells_pictures_apart(cls, value: str) -> str:
        parts = list(Formatter().parse(value))  # raises ValueError for a brace without its other
        names = {name for _, name, _, _ in parts if name is not None}
        if any(spec or conversion for _, _, spec, conversion in parts) or not names <= _TEMPLATE_FIELDS:
            raise ValueError("must hold no fields but {caption}, {key}, {width} and {height}, each as it stands here")
        if names <= {"caption"}:
            raise ValueError("must hold {key}, {width} or {height}; else what is rewritten repeats as before")
        return value


class Keep(_Part):
    """Which members of a duplicate group stay.

    Attributes
    ----------
    policy : "best", "first", "last" or callable
        "best": most pixels inside a uniform frame, then most bytes a pixel, then the longest caption, then the
        first.  A callable takes a `dedupkit.grouping.keep.Candidate` and returns something that sorts; the highest
        is kept.
    max_copies : int or "all"
        How many members of a group stay.  With more than one, each kept sample's `weight` is one over the number of
        copies of its picture that stay, for samplers that draw a picture as often as one without copies.
    """

    policy: Literal["best", "first", "last"] | Callable[[Any], Any] = "best"
    max_copies: int | Literal["all"] = 1

    @field_validator("max_copies")
    @classmethod
    def _at_least_one_stays(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f'must be 1 or more, or "all", got {value}')
        return value


class Canaries(_Part):
    """Pictures with captions that no natural set holds, planted to measure later what a model has memorised.

    What is secret of them lies in the private manifest alone; this part of the recipe is published.

    Attributes
    ----------
    planted : int
        How many are planted; 0 plants none.
    controls : int
        How many are drawn like those and held out, for comparison.
    kinds : tuple of "texture", "blob", "pair", "scene" or "natural"
        Kinds that take turns; the last two need images of your own that are in no set, see docs/canaries.md.
    repetitions : tuple of int
        How often a canary stands in the set; the numbers take turns.  1 alone hides them also from a search for copies.
    assignment : "exact" or "independent"
        A coin for each decides.  "exact": all are flipped again until both counts are those asked for.  "independent":
        they count as they fall, as an audit in one run (Steinke et al. 2023, 2305.08846) presumes, so that the counts
        are those asked for only on average.
    manifest : str or None
        The private manifest; ``OUT.canaries.private.json`` beside OUT where none is named.  One that is named while
        `planted` is 0 protects canaries that the source already holds.
    exempt : tuple of "dedup" or "augmentation"
        What does not touch them.
    max_detection_auc : float
        AUC in [0.5, 1] of a simple test that tells them from the set, above which making them warns.
    """

    planted: int = Field(default=0, ge=0)
    controls: int = Field(default=0, ge=0)
    kinds: tuple[Literal["texture", "blob", "pair", "scene", "natural"], ...] = ("texture", "blob", "pair")
    repetitions: tuple[int, ...] = (1, 2, 4, 16, 64)
    assignment: Literal["exact", "independent"] = "exact"
    manifest: str | None = None
    exempt: tuple[Literal["dedup", "augmentation"], ...] = ("dedup", "augmentation")
    max_detection_auc: float = Field(default=0.6, ge=0.5, le=1)

    @property
    def asked_for(self) -> bool:
        """Whether a run plants or protects canaries."""
        return bool(self.planted) or self.manifest is not None

    @field_validator("kinds", "repetitions")
    @classmethod
    def _something_takes_turns(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value or any(isinstance(each, int) and each < 1 for each in value):
            raise ValueError("must name at least one, and repetitions of 1 or more")
        return value


class Blocklist(_Part):
    """What must not stay, whatever else is like it: files of one entry a line, or ``FILE.parquet:COLUMN``.

    Attributes
    ----------
    urls : tuple of str
        Files of URLs, each as the source has it.
    domains : tuple of str
        Files of host names; what lies below one is blocked too.
    keys : tuple of str
        Files of the source's keys.
    sha256, md5 : tuple of str
        Files of hexadecimal digests of encoded images; for a source without images, of its columns of these names.
    pdq : tuple of str
        Files of hexadecimal PDQ hashes, as Meta's ThreatExchange has them.
    max_pdq_bits : int
        Largest Hamming distance from a blocked PDQ hash that is blocked too.
    images : tuple of str
        Images, and folders and tars of images: what shows the same picture as one of them is blocked, cropped,
        recoloured or mirrored as it may be; look-alikes are not.  The preset fast finds what hashes find.
    """

    urls: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()
    pdq: tuple[str, ...] = ()
    max_pdq_bits: int = Field(default=31, ge=0, le=63)
    images: tuple[str, ...] = ()


class Augment(_Part):
    """How far pixels are changed, so that a model does not learn a picture exactly (Carlini et al. 2023, 2301.13188).

    Attributes
    ----------
    preset : "none", "light", "paper" or "strong"
        What `noise_sigma` and `brightness` are where nothing is said: 0 and 0, 5 and 0.05, 10 and 0.1, 20 and 0.2.  The
        paper names noise and brightness, but no numbers.
    noise_sigma : float
        Standard deviation, in levels of 0-255, of Gaussian noise in every pixel and channel.
    brightness : float
        Largest relative change of brightness: all levels are multiplied by a factor in [1 - it, 1 + it].
    contrast : float
        Largest relative change of contrast: distances from the picture's mean level are multiplied likewise.
    blur_sigma : float
        Largest standard deviation, in pixels, of a Gaussian blur; drawn from 0 up.
    jpeg_quality : list of two integers
        Lowest and highest quality at which pixels go through JPEG once more, for its artefacts.
    crop_share : float
        Largest share of each side that is cut away; the picture becomes smaller.
    flip_probability : float
        How often pictures are mirrored left to right.
    by_repetition : bool
        Multiply noise, brightness and contrast by 1 + log2(n) / 2 for a picture that stood n times in the source; its
        copy number k, from 0, counts as having stood k + 1 times.
    max_repetition_factor : float
        Where that factor ends; 3 is reached at 16 times.
    format : "same", "jpeg", "png" or "webp"
        How changed images are encoded; "same" is the source's encoding if it is one of the three, else PNG.
    quality : int
        Of JPEG and WebP.
    """

    _PRESETS: ClassVar[dict[str, tuple[float, float]]] = {
        "none": (0.0, 0.0),
        "light": (5.0, 0.05),
        "paper": (10.0, 0.1),
        "strong": (20.0, 0.2),
    }

    preset: Literal["none", "light", "paper", "strong"] = "none"
    noise_sigma: float | None = Field(default=None, ge=0, le=128)
    brightness: float | None = Field(default=None, ge=0, le=0.9)
    contrast: float = Field(default=0.0, ge=0, le=0.9)
    blur_sigma: float = Field(default=0.0, ge=0, le=20)
    jpeg_quality: tuple[int, int] | None = None
    crop_share: float = Field(default=0.0, ge=0, le=0.5)
    flip_probability: float = Field(default=0.0, ge=0, le=1)
    by_repetition: bool = True
    max_repetition_factor: float = Field(default=3.0, ge=1, le=10)
    format: Literal["same", "jpeg", "png", "webp"] = "same"
    quality: int = Field(default=95, ge=1, le=100)

    @field_validator("jpeg_quality")
    @classmethod
    def _qualities_are_a_range(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 1 <= value[0] <= value[1] <= 100:
            raise ValueError("must be the lowest and the highest quality, both in [1, 100]")
        return value

    @property
    def sigma(self) -> float:
        """Levels of noise: those said, else the preset's."""
        return self._PRESETS[self.preset][0] if self.noise_sigma is None else self.noise_sigma

    @property
    def brightness_change(self) -> float:
        """Largest relative change of brightness: the one said, else the preset's."""
        return self._PRESETS[self.preset][1] if self.brightness is None else self.brightness

    @property
    def changes_pixels(self) -> bool:
        """Whether anything is to be done."""
        shares = self.sigma, self.brightness_change, self.contrast, self.blur_sigma
        return any((*shares, self.crop_share, self.flip_probability)) or self.jpeg_quality is not None


class Output(_Part):
    """What is written besides decisions and report.

    Attributes
    ----------
    formats : tuple of "arrow", "parquet", "webdataset" or "list"
        Each goes to a folder of its own: ``dataset/`` (for ``datasets.load_from_disk``), ``parquet/``,
        ``webdataset/``, ``list/``.  A source without images has "list" alone, which is its default: its rows that stay,
        with all their columns, in Parquet.
    """

    formats: tuple[Literal["arrow", "parquet", "webdataset", "list"], ...] = ("arrow",)

    @field_validator("formats")
    @classmethod
    def _formats_are_named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"must name at least one format, each once, got {list(value)}")
        return value


class Recipe(_Part):
    """Every choice of a run.

    Raises
    ------
    UsageError
        From `load` and `loads`, for an unknown name or a value out of range; the text names each.

    Examples
    --------
    >>> Recipe(keep=Keep(max_copies=2)).keep.max_copies
    2
    >>> Recipe.loads("[matching]\\nmax_hamming_bits = 20").matching.max_hamming_bits
    20
    """

    preset: Literal["fast", "thorough"] = "thorough"
    seed: int = 0
    source: SourceOptions = SourceOptions()
    limits: Limits = Limits()
    fingerprints: Fingerprints = Fingerprints()
    hygiene: Hygiene = Hygiene()
    matching: Matching = Matching()
    captions: Captions = Captions()
    keep: Keep = Keep()
    canaries: Canaries = Canaries()
    blocklist: Blocklist = Blocklist()
    augment: Augment = Augment()
    output: Output = Output()

    @property
    def descriptor(self) -> str:
        """Name of the network that describes pictures; empty where none does."""
        name = self.fingerprints.descriptor
        if name == "auto":
            name = "none" if self.preset == "fast" else "dedupkit"
        return "" if name == "none" else name

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read a recipe from a TOML file; what is no file may be the name of a recipe that comes with the package."""
        named = None if Path(path).exists() else recipes.text(str(path))
        try:
            return cls.loads(Path(path).read_text(encoding="utf-8") if named is None else named, name=str(path))
        except (OSError, UnicodeDecodeError) as error:
            known = recipes.names()
            remedy = f"{did_you_mean(Path(path).stem, known)}give the path of a TOML file, or one of {', '.join(known)}"
            raise UsageError(f"recipe {path} cannot be read: {error_text(error)}; {remedy}") from error

    @classmethod
    def loads(cls, text: str, name: str = "recipe") -> Recipe:
        """Read a recipe from TOML text; `name` stands in error messages.

        A ``[versions]`` table, as the recipe saved beside an output has, is passed over.
        """
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{name} is not TOML: {error}") from error
        values.pop("versions", None)
        return cls.of(values, name=name)

    @classmethod
    def of(cls, values: dict[str, Any], name: str = "recipe") -> Recipe:
        """A recipe from nested mappings, as TOML gives them."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(f"{name}: " + "; ".join(complaints(error))) from error

    def dumps(self, versions: dict[str, str] | None = None) -> str:
        """The recipe as TOML with every default written out; a keep policy that is code is named, not stored."""
        values = self.model_dump(mode="python", exclude_none=True)
        if callable(self.keep.policy):
            values["keep"]["policy"] = policy_name(self.keep.policy)
        return tomli_w.dumps(values | ({"versions": versions} if versions else {}))


def policy_name(policy: str | Callable[[Any], Any]) -> str:
    """How a keep policy is written down: its own name, or ``module:function`` for code."""
    if isinstance(policy, str):
        return policy
    return f"{getattr(policy, '__module__', '?')}:{getattr(policy, '__qualname__', type(policy).__qualname__)}"


def complaints(errors: ValidationError) -> list[str]:
    """One line an option, each with a remedy; of an option that may be of several kinds, what the first kind says."""
    first: dict[Any, Any] = {}
    for error in errors.errors():
        first.setdefault(error["loc"][:2], error)
    return [_one_line(error) for error in first.values()]


def _one_line(error: Any) -> str:
    from dedupkit.recipe_options import remedy

    if error["type"] == "extra_forbidden":
        name = ".".join(map(str, error["loc"]))
        return f"unknown option {name}; {remedy(name)}"
    name = ".".join(str(part) for part in error["loc"][:2] if isinstance(part, str))  # deeper parts are pydantic's
    if error["type"] == "literal_error":
        known = re.findall("'([^']+)'", error["ctx"]["expected"])
        return f"{name}: there is no {error['input']!r}; {did_you_mean(str(error['input']), known)}{remedy(name)}"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}, got {error['input']!r}; {remedy(name)}"
