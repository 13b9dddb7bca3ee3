"""What no caption should hold, one function a finding: a caption in, the caption without it out.

A function gives back the very text it got where there is nothing to cut.  Every pattern is linear in the length of the
text, as captions are hostile: repetitions are bounded, or cannot begin where another one of the same match could.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Sequence

# --- characters

# A character that was read as several leaves several beyond ASCII in a row, or a C1 control, or one and a space or "?"
_MAY_BE_MENDED = re.compile("[\x80-\x9f]|[^\x00-\x7f][^\x00-\x19\x1b-\x1f!->@-\x7f]")
# U+FFFD, what Unicode keeps for private use (icon fonts), and what it will never assign
_NO_TEXT = re.compile(
    "[\ufffd\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 15))
    + "]+"
)
# Kept are tab and line breaks, the joiners that scripts and emoji need, and the marks of direction in Hebrew and Arabic
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000\U000e0001]+"
)
# Tag characters hide text from people; only a flag such as Scotland's may hold some (Unicode TS #51, ED-14a)
_TAGS = re.compile("(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)|[\U000e0020-\U000e007f]+")


def without_bad_unicode(text: str) -> str:
    """UTF-8 that was read as another encoding is mended (ftfy); what is no text is cut."""
    if text.isascii():
        return text
    if _MAY_BE_MENDED.search(text):
        import ftfy

        text = ftfy.fixes.fix_c1_controls(ftfy.fix_encoding(text))
    return _NO_TEXT.sub("", text)


def without_control_characters(text: str) -> str:
    """Control and invisible characters are cut, and terminal escapes whole."""
    if text.isprintable():
        return text
    if "\x1b" in text:
        import ftfy

        text = ftfy.fixes.remove_terminal_escapes(text)
    return _TAGS.sub(r"\1", _INVISIBLE.sub("", text))


# --- HTML (elements of the living standard, and obsolete ones)

_INLINE_NAMES = """
    a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd mark q s samp small span strike strong sub sup
    time tt u var wbr
"""
_BLOCK_NAMES = """
    address article aside audio base blockquote body br button canvas caption center col colgroup dd details dialog dir
    div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe
    img input label legend li link main map menu meta nav noscript object ol optgroup option p param picture pre script
    section select source style summary svg table tbody td textarea tfoot th thead title tr track ul video
"""
_INLINE = frozenset(_INLINE_NAMES.split())
_ELEMENT = "|".join(sorted((*_INLINE, *_BLOCK_NAMES.split()), key=lambda name: (-len(name), name)))
_UNSEEN = re.compile(r"<(script|style)\b[^<>]*>[^<]*</\1\s*>|<!--[^<>]*-->|<!doctype[^<>]*>|<!\[CDATA\[|\]\]>", re.I)
_TAG = re.compile(rf"</?({_ELEMENT})(?:[\s/][^<>]*)?>|<({_ELEMENT})\s[^<>=]*=[^<>]*$", re.I)  # the second is cut short
_ALT = re.compile(r"""\salt\s?=\s?(?:"([^"]*)"|'([^']*)')""", re.I)
_AMPERSAND = re.compile(r"&(?:amp;|#0{0,5}38;|#x0{0,5}26;)+", re.I)  # however often it was escaped


def without_html(text: str) -> str:
    """Tags and comments are cut, entities become what they stand for; an image's alt stays as text."""
    if "<" in text:  # before entities, as quotes in attributes are written so
        text = _TAG.sub(_in_place_of_tag, _UNSEEN.sub(" ", text))
    if "&" in text:
        import ftfy

        text = ftfy.fixes.unescape_html(_AMPERSAND.sub("&", text))
    return text


def _in_place_of_tag(tag: re.Match[str]) -> str:
    name = (tag[1] or tag[2]).lower()
    if name in _INLINE:
        return ""
    alt = _ALT.search(tag[0]) if name == "img" else None
    return f" {alt[1] or alt[2] or ''} " if alt else " "


# --- addresses and numbers

_EMAIL = re.compile(r"(?:mailto:)?[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}", re.I)


def without_email(text: str) -> str:
    """E-mail addresses are cut."""
    return _EMAIL.sub("", text) if "@" in text else text


_MIN_PHONE_DIGITS = 7
_ENOUGH_DIGITS = re.compile(rf"\d(?:[^\w,;]{{0,3}}\d){{{_MIN_PHONE_DIGITS - 1}}}")
_SAID_TO_BE_PHONE = re.compile(r"(?:phone|tel|call|mobile|whats ?app|fax|contact|hotline)\w{0,3}\W{0,3}$", re.I)
_MAX_PHONES = 200  # candidates that are looked at in one caption


def without_phone(text: str, regions: Sequence[str]) -> str:
    """Phone numbers are cut that are valid in one of some countries, or with their country's code."""
    if not _ENOUGH_DIGITS.search(text):
        return text
    from phonenumbers import PhoneNumberMatcher

    spans = {
        (found.start, found.end)
        for region in regions or (None,)
        for found in PhoneNumberMatcher(text, region, max_tries=_MAX_PHONES)
        if not found.raw_string.isdecimal() or _SAID_TO_BE_PHONE.search(text[max(found.start - 20, 0) : found.start])
    }
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


_TLD = "com|org|net|edu|gov|info|biz|io|co|me|tv|de|uk|fr|it|es|nl|pl|ru|jp|cn|in|br|au|ca|ch|at|se|no|dk|eu|us"
_REST = r"""(?:[/?#:](?:[^\s<>"]*[\w/])?)?"""
_DOMAIN = rf"(?:[\w-]{{1,63}}\.){{1,4}}(?:{_TLD})"
_URL = re.compile(
    rf"""(?:https?|ftp)://[^\s<>"]*\w/?|\bwww\.[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,8}}{_REST}"""
    rf"""|(?<![\w@./-]){_DOMAIN}/(?:[^\s<>"]*[\w/])?""",
    re.I,
)
_ONLY_URL = re.compile(rf"""(?:(?:https?|ftp):?//?[^\s<>"]+|www\.[^\s<>"]+|{_DOMAIN}{_REST})""", re.I)


def without_url(text: str) -> str:
    """Addresses are cut; a bare domain is a name like another."""
    if "." not in text and "://" not in text:
        return text
    return _URL.sub("", text)


def is_url(text: str) -> bool:
    """Whether a caption is an address, or a domain, and nothing else."""
    return _ONLY_URL.fullmatch(core(text)) is not None


# --- files

_ENDING = (
    "jpe?g|jpe|jfif|png|gif|webp|bmp|tiff?|svg|heic|heif|avif|ico|psd|eps|cr2|nef|dng|arw|mp4|mov|avi|webm|pdf|zip"
)
_FILE = re.compile(
    rf"""(?:(?<=[\s"'(\[,;=])|^)((?:[a-z]:)?[^\s"'\[\],;:<>]{{1,250}}?)\.(?:{_ENDING})(?![\w-])(?:\?[^\s<>"]*)?""",
    re.I,
)
_ONLY_FILE = re.compile(rf"(?:[a-z]:)?[^\s,;:<>|]+\.(?:{_ENDING})(?:\?\S*)?", re.I)
_BY_MACHINE = re.compile(
    r"""(?:img|dscn?|dscf|dcim|pict?|p|mvi|pxl|gopr|gp|sam|cimg|hpim|wp|vid|imag|screen[ ]?shot|image|photo|picture|
    untitled|unnamed|scan|slide|figure|fig|file|page|asset|thumb|thumbnail)[\s_.#()-]*\d[\d\s_.()x-]*
    |\d{8}[_-]\d{4,9}|(?=[a-z]*\d)(?=\d*[a-f])[0-9a-f]{16,128}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}
    |(?:[a-z]:)?(?:[/\\][\w.@%~-]+){2,}[/\\]?""",
    re.I | re.X,
)


def without_file_name(text: str) -> str:
    """Names of files are cut; of one that is a plain word, its ending alone."""
    return _FILE.sub(lambda name: name[1] if name[1].isalpha() else "", text) if "." in text else text


def is_file_name(text: str) -> bool:
    """Whether a caption is the name that a file, camera, counter or program gave, and nothing else."""
    middle = core(text)
    return (_ONLY_FILE.fullmatch(middle) or _BY_MACHINE.fullmatch(middle)) is not None


# --- boilerplate (our own collection, of English alt texts)

_MEDIUM = r"(?:photo(?:graph)?|image|picture|vector|illustration|footage|video|clip ?art|graphic)s?"
_AGENCIES = "shutterstock|istock(?:photo)?|getty images?|alamy|dreamstime|depositphotos|123rf|adobe stock|bigstock"
_PHRASES = (
    rf"stock[ -](?:{_MEDIUM}|photography)",
    rf"royalty[ -]free(?: stock)?(?: {_MEDIUM})?",
    rf"(?:{_AGENCIES})(?: {_MEDIUM})?",
    rf"editorial (?:use only|{_MEDIUM})",
    r"all rights reserved",
    r"(?:image|photo) may contain:?",
    r"may be an (?:image|illustration) of",
    r"click (?:here )?(?:to|for) (?:enlarge|zoom|view|see)(?: larger| full size)?",
    r"(?:no|missing) (?:photo|image|alt(?:ernative)?)(?: text| description| caption)? (?:available|provided|found)",
    r"(?:no|missing) (?:photo|image|alt(?:ernative)?) (?:text|description|caption)",
    rf"{_MEDIUM} (?:not (?:found|available)|unavailable|coming soon|placeholder)",
    rf"placeholder {_MEDIUM}",
    r"opens in (?:a )?new (?:tab|window)",
    r"(?:free|instant) download",
    rf"download (?:this|free|now)(?: {_MEDIUM})?",
)
_BOILERPLATE = re.compile(rf"(?<!\w)(?:{'|'.join(_PHRASES)})(?!\w)")
_HINTS = (
    *("stock", "royalty", "getty", "alamy", "dreamst", "deposit", "123rf", "editor", "rights", "contain", "may be"),
    *("click", "no ", "missing", "not ", "unavail", "soon", "placeh", "opens", "download"),
)
_PLACEHOLDER = re.compile(
    rf"(?:(?:the|an?|this|my|untitled|default|sample)[ ])?(?:{_MEDIUM}|pic|img|thumb(?:nail)?|alt(?:[ ]text)?|caption)"
    r"|untitled|unnamed|null|none|nan|nil|undefined|unknown|n/a|placeholder|default|description|title"
    r"|no[ ](?:caption|description|title)(?:[ ]available)?|lorem[ ]ipsum.*",
    re.S,
)


def without_boilerplate(text: str) -> str:
    """Phrases of agencies and web pages are cut."""
    lower = text.lower()
    if not any(map(lower.__contains__, _HINTS)) or len(lower) != len(text):  # a few letters have longer small ones
        return text
    spans = [found.span() for found in _BOILERPLATE.finditer(lower)]
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text


def is_boilerplate(text: str) -> bool:
    """Whether a caption is a placeholder, or such phrases and nothing else."""
    if _PLACEHOLDER.fullmatch(core(text).lower()):
        return True
    rest = without_boilerplate(text)
    return rest is not text and rest != text and not is_read(rest)


# --- what is left

_EDGES = " \t\r\n\"'`()[]<>{}.,;:!|\u2013\u2014-_*=~"
_WORD = re.compile(r"[^\W_]")
_SPACES = re.compile(r"[^\S\n]+")
_LOOSE_ENDS = ",;:|\u2013\u2014- "
_EMPTY_BRACKETS = re.compile(r"\( ?\)|\[ ?\]|< ?>|\" ?\"")
_COMMAS = re.compile(r",(?: ?,)+")
_LOOSE = re.compile(r" (?=[,.;:!?)\]]+(?:\s|$))|(?<=[(\[]) ")


def core(text: str) -> str:
    """A caption without white space and punctuation around it."""
    return text.strip(_EDGES)


def is_read(text: str) -> bool:
    """Whether a caption holds a letter, a digit or a symbol such as an emoji."""
    return bool(_WORD.search(text)) or any(not each.isascii() and category(each)[0] == "S" for each in text)


def tidied(text: str) -> str:
    """A caption that something was cut out of, without the gaps, empty brackets and loose ends that this leaves."""
    text = _SPACES.sub(" ", _EMPTY_BRACKETS.sub("", _SPACES.sub(" ", text)))
    text = _COMMAS.sub(",", _LOOSE.sub("", text))
    return text.strip().lstrip(_LOOSE_ENDS).rstrip(_LOOSE_ENDS + "([").strip()
