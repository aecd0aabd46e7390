"""The client of OpenAPI Generator through every operation. Faults are exceptions that carry the problem that was answered."""
import json
import os
import uuid

import larder_python as larder
from larder_python.exceptions import ApiException

NAMESPACE = 'python'
URL = os.environ['LARDER_URL']
API_KEY = os.environ['LARDER_API_KEY']


def client(api_key=None, token=None):
    configuration = larder.Configuration(host=URL)
    configuration.access_token = token
    if api_key is not None:
        configuration.api_key['apiKey'] = api_key
    return larder.ApiClient(configuration)


ADMINISTRATOR = client(api_key=API_KEY)


def refused(status, request, *args, **kwargs):
    """The problem that a request is refused with."""
    try:
        request(*args, **kwargs)
    except ApiException as error:
        problem = json.loads(error.body)
        assert (error.status, problem['status']) == (status, status), error
        return problem
    raise AssertionError(f'{status} is expected of {request.__name__}')


def etag_of(answer):
    """Of the second way to call an operation, which answers with data, status and headers."""
    return answer[2]['etag']


def messages(response):
    """The data of the messages of a stream, as they come."""
    for line in response:
        if line.startswith(b'data: '):
            yield json.loads(line[6:])


def documents():
    greetings = larder.GreetingsApi(ADMINISTRATOR)
    assert 'Larder' in greetings.get_home()
    assert greetings.greet(name='Ada').message == 'Hello, Ada!'
    assert greetings.greet_by_name('Ada/Grace').message == 'Hello, Ada/Grace!'
    health = larder.HealthApi(ADMINISTRATOR)
    assert health.get_health().status == 'healthy'
    assert health.get_liveness().status == 'alive'
    assert health.get_readiness().parts['postgres'].status == 'up'
    documentation = larder.DocumentationApi(ADMINISTRATOR)
    assert documentation.get_open_api_json()['openapi'] == '3.1.0'
    assert documentation.get_open_api_yaml().startswith('openapi: ')
    assert documentation.get_problem_type('not-found').status == 404
    observability = larder.ObservabilityApi(ADMINISTRATOR)
    assert 'larder_' in observability.get_metrics()
    stream = observability.watch_metrics(_preload_content=False)
    assert next(messages(stream))['seconds'] > 0
    stream.close()
    for key, count in observability.get_response_cache_statistics().top_keys:
        assert key.startswith('GET:') and count > 0


def samples():
    items = larder.ItemsApi(ADMINISTRATOR)
    item = items.create_item({'name': 'Lamp'}, idempotency_key=f'"{uuid.uuid4()}"')
    item_id = item['id']
    assert items.update_item(item_id, {'price': 12.5}) == {'id': item_id, 'name': 'Lamp', 'price': 12.5}
    assert items.get_item(item_id).item['name'] == 'Lamp'
    assert any(one['id'] == item_id for one in items.list_items(limit=1000).items)
    assert items.delete_item(item_id).ok
    assert refused(404, items.get_item, item_id)['title']

    products = larder.ProductsApi(ADMINISTRATOR)
    product = products.create_product(larder.NewProduct(name='Yeast', price=0.5, category='Baking')).product
    assert (product.stock_quantity, product.unit) == (0, None)
    assert products.update_product(product.id, larder.ProductChanges(price=0.75)).product.price == 0.75
    assert products.get_product(product.id).product.name == 'Yeast'
    # This generator writes a boolean into a query as Python does.
    assert products.list_products(nocache='true').source == 'database'
    assert products.get_cache_aside_statistics().total_requests >= 0
    assert products.measure_cache_performance().rounds > 0
    assert products.clear_cache_aside().ok

    recipes = larder.RecipesApi(ADMINISTRATOR)
    needed = larder.NewRecipeItem(product_id=product.id, quantity=2)
    recipe = recipes.create_recipe(larder.NewRecipe(title='Focaccia', items=[needed])).recipe
    refused(409, products.delete_product, product.id)
    assert recipes.remove_recipe_product(recipe.id, product.id).recipe.items == []
    assert recipes.add_recipe_product(recipe.id, needed).recipe.items[0].product.name == 'Yeast'
    assert recipes.update_recipe(recipe.id, larder.RecipeChanges(instructions='Bake.')).recipe.instructions == 'Bake.'
    assert recipes.get_recipe(recipe.id).recipe.title == 'Focaccia'
    assert any(one.id == recipe.id for one in recipes.list_recipes(limit=1000).recipes)
    recipes.delete_recipe(recipe.id)
    products.delete_product(product.id)

    users = larder.UsersApi(ADMINISTRATOR)
    assert users.update_user(1, larder.UserChanges(name='Alan')).message == 'User updated'
    assert users.get_user(1).user.name == 'Alan'
    posts = larder.PostsApi(ADMINISTRATOR)
    assert posts.create_post(larder.NewPost(title='By Python')).message == 'Post created'
    assert 'By Python' in posts.list_posts().posts
    assert 'deleted' in posts.invalidate_cached_response('GET:/api/posts/').message


def cache():
    api = larder.CacheApi(ADMINISTRATOR)
    key = 'one/two three:ü%'
    where = {'namespace': NAMESPACE}
    entry = larder.NewCacheEntry(key=key, value={'deep': [1, None]}, metadata={'tags': ['a'], 'by': 'me'})
    assert api.set_cache_entry(entry, **where).backend == 'memory'
    hit = api.get_cache_entry(key, **where)
    assert hit.found and hit.cache_item.value == {'deep': [1, None]}
    assert hit.cache_item.metadata == {'tags': ['a'], 'by': 'me'}
    assert not api.get_cache_entry('none', lease=1, **where).found
    assert api.cache_entry_exists(key, **where).exists
    assert api.touch_cache_entry(larder.CacheTouch(key=key, ttl=30), **where).ttl == 30
    assert api.increment_cache_entry(larder.CacheIncrement(key='count'), **where).value >= 1
    refused(412, api.set_cache_entry, entry, if_none_match='*', **where)

    entries = [larder.NewCacheEntry(key='b1', value=1), larder.NewCacheEntry(key='b2', value='x', data_type='string')]
    assert [one.result.key for one in api.set_cache_entries(entries, **where).results] == ['b1', 'b2']
    assert [one.result.found for one in api.get_cache_entries(['b2', 'none'], **where).results] == [True, False]
    assert len(api.delete_cache_entries(['b1', 'b2'], **where).results) == 2
    assert api.warm_cache({'w:1': 1, 'w:2': {'x': True}}, **where).successful_count == 2
    assert sorted(one.key for one in api.list_cache_keys(pattern='w:*', **where).keys) == ['w:1', 'w:2']
    assert api.get_cache_statistics(**where).statistics.total_items >= 3
    assert api.get_cache_config().config.backend == 'memory'
    changes = larder.CacheConfigChanges(backend='memory', default_ttl=3600)
    assert api.change_cache_config(changes).config.default_ttl == 3600
    assert api.get_cache_analytics(limit=5).analytics is not None

    exported = api.export_cache(format='json', **where)
    assert any(one.key == key for one in exported.entries)
    lines = api.export_cache(format='ndjson', _preload_content=False, **where).data
    assert len(lines.splitlines()) >= len(exported.entries)
    assert api.export_cache(format='csv', _preload_content=False, **where).data.strip(b'"').startswith(b'key')
    assert api.invalidate_cache(larder.CacheInvalidation(tags=['a']), **where).deleted_count == 1
    assert api.clear_cache(**where).deleted_count >= 3
    assert api.import_cache(exported, **where).successful_count == len(exported.entries)
    assert api.delete_cache_entry(key, **where).found


def callers():
    keys = larder.KeysApi(ADMINISTRATOR)
    issued = keys.create_api_key(larder.NewApiKey(name='Python', scopes=['cache:read'], namespaces=[NAMESPACE]))
    assert keys.get_api_key(issued.id).status == 'live'
    assert any(one.id == issued.id for one in keys.list_api_keys(limit=1000).keys)
    narrow = larder.PostsApi(client(api_key=issued.key))
    refused(403, narrow.create_post, larder.NewPost(title='No'))
    rotated = keys.rotate_api_key(issued.id, larder.ApiKeyRotation(overlap=60))
    assert keys.revoke_api_key(rotated.id).ok

    valet = larder.ValetKeysApi(ADMINISTRATOR)
    token = valet.issue_valet_key(larder.NewValetKey(scopes=['products:read'], ttl=60, policy=NAMESPACE))
    bearer = client(token=token.token)
    assert larder.ProductsApi(bearer).list_products().products
    refused(403, larder.RecipesApi(bearer).list_recipes)
    assert valet.get_valet_key(token.id).state == 'live'
    assert valet.list_valet_keys(policy=NAMESPACE).tokens
    assert valet.revoke_valet_key(token.id) is None
    valet.revoke_valet_keys(policy=NAMESPACE)
    signing = next(one for one in valet.list_signing_keys().keys if one.state == 'signing')
    valet.rotate_signing_key()
    assert valet.retire_signing_key(signing.kid) is None
    assert valet.get_json_web_key_set().keys[0].kty == 'OKP'

    audit = larder.AuditApi(ADMINISTRATOR)
    assert all(one.outcome == 'denied' for one in audit.list_audit_entries(outcome='denied', limit=10).entries)
    assert audit.explain_access('/items/1', method='DELETE', scopes='items:read').decision == 'forbid'
    assert audit.who_am_i() is not None


def events():
    api = larder.EventsApi(ADMINISTRATOR)
    stream = api.stream_events(types=f'{NAMESPACE}.*', _preload_content=False)
    published = api.publish_event(larder.NewEvent(channel=NAMESPACE, event={'type': 'opened'}))
    event = next(messages(stream))
    assert (event['id'], event['type']) == (published.id, f'{NAMESPACE}.opened')
    stream.close()
    assert api.list_dead_letters().dead_letters == []
    refused(404, api.retry_dead_letter, '999999')
    refused(404, api.delete_dead_letter, '999999')

    # Of a type that nobody publishes: nothing is sent.
    hook = api.create_webhook(larder.NewWebhook(url='https://hooks.example.com/larder', types='nothing.ever'))
    assert api.change_webhook(hook.id, larder.WebhookChanges(state='paused')).state == 'paused'
    assert api.get_webhook(hook.id).types == 'nothing.ever'
    assert any(one.id == hook.id for one in api.list_webhooks().webhooks)
    assert api.rotate_webhook_secret(hook.id).id == hook.id
    assert api.list_webhook_deliveries(hook.id).deliveries == []
    refused(404, api.resend_webhook_delivery, hook.id, '999999')
    api.delete_webhook(hook.id)


def configuration():
    api = larder.ConfigurationApi(ADMINISTRATOR)
    key = 'samples.posts.list_ttl'
    settings = api.list_settings()
    assert any(one.key == key for one in settings.settings)
    read = api.get_setting_with_http_info(key)
    refused(428, api.change_setting, key, {'value': 60})
    changed = api.change_setting_with_http_info(key, {'value': 61}, if_match=etag_of(read))
    stream = api.watch_settings(since=settings.revision, _preload_content=False)
    change = next(messages(stream))
    assert (change['key'], change['value'], change['action']) == (key, 61, 'set')
    stream.close()
    assert api.list_setting_changes(key).changes
    second = api.change_setting_with_http_info(key, {'value': 62}, if_match=etag_of(changed))
    back = api.roll_back_setting_with_http_info(key, if_match=etag_of(second))
    assert back[0].value == 61
    reset = api.reset_setting(key, if_match=etag_of(back))
    assert reset.source == 'default'
    edits = larder.SettingEdits(changes=[{'key': key, 'value': 63, 'revision': reset.revision}])
    assert api.change_settings(edits, dry_run='true').settings[0].value == 63
    assert any(one._self for one in api.list_setting_instances().instances)


for chapter in (documents, samples, cache, callers, events, configuration):
    chapter()
