"""GraphiQL in a browser that reaches nothing but the service: what people do, and what must not happen."""

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.api.service import Service
from tests.browser.chromium import ColorScheme, Visitor, visitor
from tests.browser.graphiql import GraphiQL, address

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST_TAGS = "query { tags { nodes { name } } }"
CREATE_TAG = "mutation Tagging($name: String!) { createTag(name: $name) { tag { name } } }"
FOLLOW = "subscription { mediaEvents { type media { filename } } }"
REQUEST_UPLOAD = (
    'mutation { requestUpload(input: {filename: "cat.jpg", mimeType: "image/jpeg", size: 9}) '
    "{ media { status } userErrors { message } } }"
)

SCREENS = [("light", 1280, 800), ("dark", 1280, 800), ("light", 390, 844), ("dark", 390, 844)]


async def test_a_query_a_mutation_and_a_subscription_run(
    chromium: Browser, service: Service, visit: Visitor
) -> None:
    graphiql = await GraphiQL.opened_by(visit)
    await graphiql.write(LIST_TAGS)
    assert await graphiql.run() == {"tags": {"nodes": []}}
    await graphiql.write('mutation { createTag(name: "holiday") { tag { slug } } }')
    assert await graphiql.run() == {"createTag": {"tag": {"slug": "holiday"}}}
    await graphiql.write(LIST_TAGS)
    assert await graphiql.run() == {"tags": {"nodes": [{"name": "holiday"}]}}

    await graphiql.write(FOLLOW)
    await graphiql.press()
    assert await graphiql.answer(containing="CURSOR") == {"mediaEvents": {"type": "CURSOR", "media": None}}
    async with visitor(chromium, service.address) as somebody:
        other = await GraphiQL.opened_by(somebody)
        await other.write(REQUEST_UPLOAD)
        assert (await other.run())["requestUpload"]["userErrors"] == []
    created = {"type": "CREATED", "media": {"filename": "cat.jpg"}}
    assert await graphiql.answer(containing="CREATED") == {"mediaEvents": created}


async def test_an_address_shows_the_same_document_to_somebody_else(
    chromium: Browser, service: Service, visit: Visitor
) -> None:
    text = f"# Grüße & mehr: 100 % #1 + 1?\n{LIST_TAGS.replace('query', 'query Tags')}\n{CREATE_TAG}"
    graphiql = await GraphiQL.opened_by(
        visit, address(text, variables='{"name": "sea & sand"}', operationName="Tagging")
    )
    await graphiql.append(" # And more.")
    shared = await graphiql.address_containing("# And more.")
    assert service.address in shared

    async with visitor(chromium, service.address) as somebody:
        same = await GraphiQL.opened_by(somebody, shared)
        assert await same.document() == f"{text} # And more."
        assert await same.variables() == '{"name": "sea & sand"}'
        assert (await same.tabs())[1:] == ["LookAround", "RequestUpload", "CreateTag", "FollowTheLibrary"]
        answer = await same.run(operation="Tagging")
        assert answer == {"createTag": {"tag": {"name": "sea & sand"}}}
        assert (somebody.foreign, somebody.complaints) == ([], [])


async def test_an_address_keeps_the_chosen_operation(visit: Visitor) -> None:
    text = "query First { viewer { id } }\nquery Second { viewer { username } }"
    await GraphiQL.opened_by(visit, address(text, operationName="Second"))
    graphiql = GraphiQL(page=visit.page)
    assert (await graphiql.address_containing("operationName=Second")).endswith("operationName=Second")
    assert await graphiql.tabs_shown_as_open() == ["Second"]


async def test_the_address_follows_the_tabs_and_survives_a_reload(visit: Visitor) -> None:
    graphiql = await GraphiQL.opened_by(visit)
    await graphiql.address_containing("query LookAround")
    await graphiql.open_tab("RequestUpload")
    await graphiql.address_containing('"filename": "PHOTO.jpg"')
    before = await graphiql.document(), await graphiql.variables(), await graphiql.tabs()
    await visit.page.reload()
    await graphiql.is_ready()
    assert (await graphiql.document(), await graphiql.variables(), await graphiql.tabs()) == before


async def test_another_link_in_the_same_window_is_opened(visit: Visitor) -> None:
    graphiql = await GraphiQL.opened_by(visit, address("{ viewer { id } }"))
    await visit.page.evaluate("address => { location.href = address }", address("{ viewer { username } }"))
    await graphiql.shows("{ viewer { username } }")
    assert await graphiql.run() == {"viewer": {"username": "local"}}


async def test_a_link_does_not_take_over_variables_of_an_earlier_visit(visit: Visitor) -> None:
    graphiql = await GraphiQL.opened_by(visit, address(CREATE_TAG, variables='{"name": "old"}'))
    await graphiql.run()
    await visit.page.evaluate("address => { location.href = address }", address(LIST_TAGS))
    await graphiql.shows(LIST_TAGS)
    assert await graphiql.variables() == ""


async def test_a_mutation_in_the_query_string_is_shown_and_not_run(service: Service, visit: Visitor) -> None:
    """The form of other tools. A link that somebody sent must not change anything by being opened."""
    graphiql = await GraphiQL.opened_by(visit, address(CREATE_TAG, mark="?", variables='{"name": "trap"}'))
    assert await graphiql.document() == CREATE_TAG
    assert await graphiql.variables() == '{"name": "trap"}'
    moved = await graphiql.address_containing("#query=mutation Tagging")
    assert "?" not in moved
    assert (await service.row_counts())["tags"] == 0
    assert await graphiql.run() == {"createTag": {"tag": {"name": "trap"}}}


async def test_a_document_that_is_too_long_leaves_the_address_and_says_so(visit: Visitor) -> None:
    text = f"{LIST_TAGS}\n# {'字' * 3_600}"  # nine characters each in an address
    graphiql = await GraphiQL.opened_by(visit, address(text))
    notice = visit.page.get_by_role("status").get_by_text("does not fit into the address (32,000 characters)")
    await expect(notice).to_be_visible()
    await visit.page.wait_for_url("**/graphql")
    assert await graphiql.document() == text
    assert await graphiql.run() == {"tags": {"nodes": []}}
    await graphiql.write(LIST_TAGS)
    await graphiql.address_containing(LIST_TAGS)
    await expect(notice).to_be_hidden()


async def test_headers_are_sent_and_kept_nowhere(visit: Visitor) -> None:
    graphiql = await GraphiQL.opened_by(visit, address(LIST_TAGS))
    await graphiql.write_headers('{"authorization": "Bearer canary"}')
    async with visit.page.expect_request("**/graphql") as sent:
        await graphiql.run()
    assert (await (await sent.value).all_headers())["authorization"] == "Bearer canary"
    await graphiql.write(f"{LIST_TAGS} # later")
    await graphiql.address_containing("# later")
    kept = await visit.page.evaluate(
        "new Promise(done => setTimeout(done, 600, 0)).then(() => "
        "JSON.stringify(localStorage) + document.cookie + location.href)"
    )
    assert "later" in kept
    assert "canary" not in kept


async def test_a_lost_connection_is_told_and_the_next_run_has_a_new_one(visit: Visitor) -> None:
    sockets: list[WebSocketRoute] = []

    def relay(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await visit.page.route_web_socket("**/graphql", relay)
    graphiql = await GraphiQL.opened_by(visit, address(FOLLOW))
    await graphiql.press()
    await graphiql.screen("CURSOR")
    await sockets[0].close(code=1012, reason="restarting")
    await graphiql.screen("The connection has ended (1012, restarting)")
    await graphiql.press()
    await graphiql.screen("CURSOR")
    assert len(sockets) == 2


async def test_the_examples_run_on_a_service_that_nobody_has_used(visit: Visitor) -> None:
    graphiql = await GraphiQL.opened_by(visit)
    assert (await graphiql.run())["mediaItems"] == {
        "totalCount": 0,
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
    }
    await graphiql.open_tab("RequestUpload")
    requested = (await graphiql.run())["requestUpload"]
    assert (requested["media"]["status"], requested["userErrors"]) == ("UPLOADING", [])
    await graphiql.open_tab("CreateTag")
    assert (await graphiql.run(operation="CreateTag"))["createTag"]["tag"]["slug"] == "holiday"
    await graphiql.run(operation="ListTags")
    listed = await graphiql.answer(containing="totalCount")
    assert {tag["slug"] for tag in listed["tags"]["nodes"]} == {"example", "holiday"}
    await graphiql.open_tab("FollowTheLibrary")
    await graphiql.press()
    assert (await graphiql.answer(containing="CURSOR"))["mediaEvents"]["media"] is None


async def test_a_picture_elsewhere_is_not_loaded_by_pointing_at_it(visit: Visitor) -> None:
    title = "https://example.com/picture.png"
    request = REQUEST_UPLOAD.replace("size: 9", f'size: 9, title: "{title}"').replace("status", "title")
    graphiql = await GraphiQL.opened_by(visit, address(request))
    await graphiql.run()
    await visit.page.locator(".graphiql-response").get_by_text(title).hover(position={"x": 200, "y": 8})
    await visit.page.wait_for_timeout(1200)  # GraphiQL would show it after half a second


@pytest.mark.parametrize(("color_scheme", "width", "height"), SCREENS)
async def test_editor_and_answer_have_room(
    chromium: Browser, service: Service, color_scheme: ColorScheme, width: int, height: int
) -> None:
    async with visitor(
        chromium, service.address, color_scheme=color_scheme, width=width, height=height
    ) as person:
        graphiql = await GraphiQL.opened_by(person)
        await graphiql.run()
        for pane in (".graphiql-query-editor", ".graphiql-response"):
            box = await person.page.locator(pane).bounding_box()
            assert box is not None
            assert box["width"] >= 300
            assert box["height"] >= 200
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height
        await person.page.get_by_label("Show Documentation Explorer").click()
        await expect(person.page.get_by_text("A GraphQL schema provides a root type")).to_be_visible()
        assert (person.foreign, person.complaints) == ([], [])


async def test_the_closed_network_and_the_notes_of_it_are_real(chromium: Browser, service: Service) -> None:
    """Else nothing of the above would show that GraphiQL stays at home."""
    async with visitor(chromium, service.address) as person:
        await person.page.goto(f"{service.address}/livez")
        await person.page.evaluate("fetch('https://example.com/x').catch(error => console.error('refused'))")
        await person.page.evaluate("new WebSocket('wss://example.com/y')")
        await person.page.evaluate("setTimeout(() => { throw new Error('unseen') })")
        await person.page.wait_for_timeout(200)
        assert {"https://example.com/x", "wss://example.com/y"} <= set(person.foreign)
        assert {"error: refused", "uncaught: unseen"} <= set(person.complaints)
