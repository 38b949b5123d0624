"""docs/admin.md shows what the database answers to each of its statements."""

from tests.integration.database.admin_page import BLOCK, PAGE, answers, prepare
from tests.integration.database.queue_client import Queue

FORTY = 40


def test_each_statement_is_answered_as_the_page_says(disposable: Queue) -> None:
    prepare(disposable)
    page = PAGE.read_text(encoding="utf-8")
    found = list(answers(disposable, page))
    assert len(found) >= FORTY
    assert page.count("```sql") == len(BLOCK.findall(page)), "a statement has no answer"
    wrong = [f"{statement}\n{said}\n" for statement, expected, said in found if said != expected]
    assert not wrong, "write it: python -m tests.integration.database.admin_page\n" + "\n".join(wrong)


def test_every_refusal_on_the_page_but_postgresqls_own_has_a_hint(disposable: Queue) -> None:
    refused = [answer for _, answer in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if answer.startswith("ERROR")]
    assert len(refused) >= FORTY // 3
    assert [answer for answer in refused if "HINT:  " not in answer and "22P02" not in answer] == []
