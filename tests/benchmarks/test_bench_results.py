from results import circumstances, replace_section, table


def test_a_section_is_replaced_and_the_others_stay(tmp_path):
    path = tmp_path / "RESULTS.md"
    replace_section("one", "first", path)
    replace_section("two", "second", path)
    replace_section("one", r"changed \1 | text", path)
    text = path.read_text()
    assert r"changed \1 | text" in text
    assert "first" not in text
    assert text.index("changed") < text.index("second")
    assert text.count("begin -->") == 2


def test_writing_the_same_section_again_changes_nothing(tmp_path):
    path = tmp_path / "RESULTS.md"
    replace_section("one", "text", path)
    once = path.read_bytes()
    replace_section("one", "text", path)
    assert path.read_bytes() == once


def test_what_people_wrote_around_the_sections_is_kept(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("before\n\n<!-- one: begin -->\nold\n<!-- one: end -->\n\nafter\n")
    replace_section("one", "new", path)
    assert path.read_text() == "before\n\n<!-- one: begin -->\nnew\n<!-- one: end -->\n\nafter\n"


def test_a_table_has_a_rule_and_aligns_figures_right():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_circumstances_name_the_machine_and_every_version():
    said = circumstances({"langchain": "1.4.7", "openai": "3.54.0"})
    assert "logical cores" in said
    assert "langchain 1.4.7, openai 3.54.0." in said
