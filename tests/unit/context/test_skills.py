"""The section of the system text that names skills, line for line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.context.context import system_prompt
from sendoff_server.context.skills import skills_section, with_skills

Skill = v1.ClientSkill

PDF = Skill(name="pdf", description="Fill PDF forms", location="skills/pdf/SKILL.md")
TILL = Skill(name="till", description="Read the till roll", location="shop/tools/till/SKILL.md")
BOTH = """\
<available_skills>
shop/tools
└── till/
    └── SKILL.md (Read the till roll)

skills
└── pdf/
    └── SKILL.md (Fill PDF forms)
</available_skills>"""


def inside(*skills: Skill) -> list[str]:
    first, *lines, last = skills_section(skills).split("\n")
    assert (first, last) == ("<available_skills>", "</available_skills>")
    return lines


def test_each_root_has_its_tree_whatever_the_order_of_the_skills() -> None:
    assert skills_section([PDF, TILL]) == skills_section([TILL, PDF]) == BOTH


def test_folders_stand_before_files_and_lines_lead_down_to_what_follows() -> None:
    skills = [
        Skill(name="notes", description="Take notes", location="skills/a-notes.md"),
        Skill(name="zip", description="Pack", location="skills/zip/SKILL.md"),
        Skill(name="web/search", description="Look up", location="skills/web/search/SKILL.md"),
        Skill(name="web/fetch", description="Load", location="skills/web/fetch/SKILL.md"),
        Skill(name="last", location="skills/last.md"),
    ]
    assert inside(*skills) == [
        "skills",
        "├── web/",
        "│   ├── fetch/",
        "│   │   └── SKILL.md (Load)",
        "│   └── search/",
        "│       └── SKILL.md (Look up)",
        "├── zip/",
        "│   └── SKILL.md (Pack)",
        "├── a-notes.md (Take notes)",
        "└── last.md",
    ]


@pytest.mark.parametrize(
    ("location", "root", "path"),
    [
        ("skills/pdf/SKILL.md", "skills", "pdf/SKILL.md"),
        ("/skills/pdf/SKILL.md", "/skills", "pdf/SKILL.md"),
        ("/pdf/SKILL.md", "/", "pdf/SKILL.md"),
        ("pdf/SKILL.md", "", "pdf/SKILL.md"),
        ("", "${MEMORY_DIR}/skills", "pdf/SKILL.md"),
        ("skills/other/SKILL.md", "skills/other", "SKILL.md"),
        ("skills/my-pdf/SKILL.md", "skills/my-pdf", "SKILL.md"),
        ("skills/pdf/skill.md", "skills/pdf", "skill.md"),
        ("skills/pdf.md", "skills", "pdf.md"),
        ("SKILL.md", "", "SKILL.md"),
        ("skills/pdf/", "skills", "pdf"),
    ],
)
def test_root_and_path_follow_from_the_location(location: str, root: str, path: str) -> None:
    expected = [root] + [" " * 4 * depth + "└── " + name for depth, name in enumerate(path.replace("/", "/\n").split())]
    assert inside(Skill(name="pdf", location=location)) == expected


@pytest.mark.parametrize(
    ("description", "told"),
    [("One.\nTwo.", " (One.)"), ("One.\r\nTwo.", " (One.)"), ("One\u2028Two", " (One)"), ("", ""), ("\nTwo.", "")],
)
def test_the_first_line_of_the_description_is_told(description: str, told: str) -> None:
    assert inside(Skill(name="s", description=description, location="s.md")) == ["", f"└── s.md{told}"]


def test_two_skills_in_one_file_are_both_told() -> None:
    skills = [Skill(name=name, description=name, location="all.md") for name in ("b", "a")]
    assert inside(*skills) == ["", "├── all.md (a)", "└── all.md (b)"]


def test_the_section_stands_behind_the_system_text_with_one_empty_line_between() -> None:
    assert with_skills("\nYou are Ines. \n\n\n", [PDF, TILL]) == f"\nYou are Ines.\n\n{BOTH}"
    assert with_skills("", [PDF, TILL]) == BOTH


def test_without_skills_the_system_text_is_untouched() -> None:
    assert with_skills("You are Ines. \n\n", []) == "You are Ines. \n\n"


def test_an_overriding_system_prompt_stands_alone() -> None:
    agent = v1.Agent(system="You are Ines.")
    request = v1.CreateMessageAsyncRequest(client_skills=[PDF, TILL])
    assert system_prompt(agent, request) == f"You are Ines.\n\n{BOTH}"
    request.override_system = "Be brief. \n"
    assert system_prompt(agent, request) == "Be brief. \n"


# ---- any skills ----

_NAMES = st.text(st.sampled_from("ab-"), min_size=1, max_size=3)
_PATHS = st.lists(_NAMES, max_size=4).map("/".join)
_DESCRIPTIONS = st.text(st.sampled_from("xy \n"), max_size=6)


@st.composite
def _skills(draw: st.DrawFn) -> list[Skill]:
    skills = []
    for name in draw(st.lists(_NAMES, min_size=1, max_size=8, unique=True)):
        folder = draw(_PATHS)
        path = draw(st.sampled_from([f"{folder}/{name}/SKILL.md", f"{folder}/SKILL.md", folder, ""]))
        skills.append(Skill(name=name, description=draw(_DESCRIPTIONS), location=path.lstrip("/")))
    return skills


def _read(lines: list[str]) -> list[str]:
    """The files of one tree, each by its whole path and what is told of it. Fails for a tree that is drawn wrongly."""
    root, *drawn = lines
    prefix = f"{root}/" if root else ""
    return [prefix + path for path in _files(drawn)]


def _files(drawn: list[str]) -> list[str]:
    found: list[str] = []
    kinds: list[bool] = []
    while drawn:
        head, drawn = drawn[0], drawn[1:]
        is_last = head.startswith("└── ")
        assert is_last or head.startswith("├── "), head
        indent = "    " if is_last else "│   "
        inner = [line for line in drawn if line.startswith(indent)] if is_last else _leading(drawn, indent)
        drawn = drawn[len(inner) :]
        assert not (is_last and drawn), "something stands behind the last"
        assert is_last or drawn, "the last is drawn as if more followed"
        label = head[4:]
        is_file = not label.endswith("/")
        assert is_file == (not inner), "folders hold something, files nothing"
        found += [label] if is_file else [label + path for path in _files([line[4:] for line in inner])]
        kinds.append(is_file)
    assert kinds == sorted(kinds), "folders before files"
    return found


def _leading(lines: list[str], indent: str) -> list[str]:
    count = next((at for at, line in enumerate(lines) if not line.startswith(indent)), len(lines))
    return lines[:count]


def _expected(skill: Skill) -> str:
    location = skill.location or f"${{MEMORY_DIR}}/skills/{skill.name}/SKILL.md"
    told = skill.description.partition("\n")[0]
    return f"{location} ({told})" if told.strip() else location


@given(_skills())
def test_every_skill_is_told_once_at_its_location_in_a_well_drawn_tree(skills: list[Skill]) -> None:
    section = skills_section(skills)
    body = section.removeprefix("<available_skills>\n").removesuffix("\n</available_skills>")
    trees = [tree.split("\n") for tree in body.split("\n\n")]
    assert [tree[0] for tree in trees] == sorted({tree[0] for tree in trees})
    assert sorted(file for tree in trees for file in _read(tree)) == sorted(map(_expected, skills))
    assert skills_section(list(reversed(skills))) == section
