"""Tables as Markdown and LaTeX: what is escaped, what is bold."""

from mitr.report.tables import Table, latex, markdown


def test_latex_escapes_and_bolds() -> None:
    table = Table("50 % of a_b ± 1", ["Model", "MAE ↓"], [[("x_1 & y", ""), ("0.5", "± 0.1 [0, 1]")]], {1: [0]})
    text = latex(table)
    assert r"\caption{50 \% of a\_b $\pm$ 1}" in text
    assert r"x\_1 \& y & \textbf{0.5} $\pm$ 0.1 \\" in text
    assert markdown(table).splitlines()[2] == r"| x\_1 & y | **0.5** ± 0.1 [0, 1] |"
